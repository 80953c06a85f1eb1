# What the tests of the pipelines run: a small cached job on the model in demo/. To be sourced, with `scratch` set to
# a folder of the test's own.
# shellcheck shell=bash
# shellcheck disable=SC2154

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# job WORK OUTPUT FLAG…: the words of a job, one thread, so that bits can be compared.
job() {
  local work=$1 output=$2
  shift 2
  command=("$root/pipelines/sae-gradient-analysis" --model_name "$root/demo/model" --text "$root/demo/sample.txt"
    --sae "$root/demo/saes/mlp_out_layer_{layer}/trainer_0" --layers 0-3 --num_samples 24 --threads 1
    --save_outputs --work-dir "$work" --output-dir "$output" "$@")
}

# arrays FOLDER: the hashes of all arrays below it, by name.
arrays() { (cd "$1" && find . -name '*.npy' -printf '%f %p\n' | sort | while read -r name path; do
  echo "$name $(sha256sum < "$path")"
done); }

die() {
  echo "FAILED: $*" >&2
  exit 1
}

# nothing_broken WORK OUTPUT: no file of a dead run, and every stream whole.
nothing_broken() {
  local left
  left=$(find "$1" "$2" -name '*.partial*')
  [[ -z $left ]] || die "left behind: $left"
  stream-info --check "$1"/*.ts > "$scratch/check" 2>&1 || die "a broken stream: $(cat "$scratch/check")"
}
