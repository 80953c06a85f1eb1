# Asks bash's completion functions as bash does when Tab is pressed, with the installed commands on the PATH.
#
#   bash Tests/InstallTests/completions.bash FOLDER     the completion scripts
# shellcheck shell=bash
# The parser's own scripts do not live with set -u.
set -o pipefail

completions=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
ln -s "$PWD/demo" "$scratch/demo"
cd "$scratch" || exit 74
touch text.raw "a file.txt"
mkdir folder

failed=0
# offers EXPECTED COMMAND WORD…: what Tab offers for the last word, sorted; without an offer of the function, files as
# bash -o default has them. As bash does it, = is a word.
offers() {
  local expected=$1 function options found
  shift
  # shellcheck source=/dev/null
  . "$completions/$1"
  function=$(complete -p "$1" | sed -E 's/.* -F ([^ ]+) .*/\1/')
  options=$(complete -p "$1")
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=0 COMPREPLY=()
  COMP_POINT=${#COMP_LINE}
  local current=${!#}
  [[ $current != = ]] || current=''
  "$function" "$1" "$current" "${COMP_WORDS[COMP_CWORD - 1]}" 2> "$scratch.err"
  if ((${#COMPREPLY[@]} == 0)) && [[ $options == *'-o default'* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
  found=$(printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort -u | paste -sd'|')
  # shellcheck disable=SC2053
  if [[ $found != $expected || -s $scratch.err ]]; then
    failed=1
    printf '%s\n  expected %s\n  found    %s\n' "$*" "$expected" "$found" >&2
    cat "$scratch.err" >&2
  fi
  rm -f "$scratch.err"
}

files='a file.txt|demo|folder|text.raw'
# Files are files, whichever flag or argument names them; folders only where nothing else can be meant.
offers "$files" wt-tokenize ''
offers "$files" wt-tokenize --tokenizer ''
offers text.raw wt-tokenize --tokenizer demo/model te
offers "$files" wt-tokenize --tokenizer demo/model text.raw ''
offers "$files" qwen-capture --model ''
offers "$files" qwen-capture --model = ''
offers "$files" qwen-capture --model demo/model '<' ''
offers "$files" sae-grad --sae ''
offers "$files" grad-aggregate ''
offers "$files" stream-info --check ''
offers 'demo|folder' grad-plot --output ''
offers 'demo|folder' grad-aggregate --save ''
# Choices.
offers 'both|mean|mean_abs' grad-aggregate --mode ''
offers 'mean|mean_abs' grad-plot --mode m
offers 'pdf|png|svg' grad-plot --format ''
offers 'jsonl|text|tsv' grad-table --format ''
offers 'attribution.mean|attribution.mean_abs|attribution.mean_abs_se|attribution.mean_se' grad-table --sort attribution.m
offers "$files" grad-table --compare ''
offers "$files" grad-report --contexts ''
offers 'gradient.mean|gradient.mean_abs' grad-report --sort g
offers 'activation|attribution|gradient' grad-contexts --by ''
offers "$files" grad-contexts --tokens ''
offers "$files" grad-contexts --features 0:1 ''
offers all grad-contexts --layers ''
offers 'mean|zero' sae-effect --ablate ''
offers 'json|text' sae-effect --format ''
offers "$files" sae-effect --features ''
offers 'max-length|none' wt-tokenize --padding ''
offers 'auto|cpu|cuda' act-grad --device ''
offers 'cpu|cuda' act-grad --device c
offers 'auto|bf16|float32|split|tf32' act-grad --precision ''
# Layers, of the model where it is known.
offers '0|0-3|1|2|3|all' qwen-capture --model demo/model --layers ''
offers '0-0|0-1|0-2|0-3' act-grad --model demo/model --layers 0-
offers '0,2,3' sae-grad --model demo/model --layers 0,2,3
offers all grad-plot --layers ''
offers all grad-table --layers ''
# Flags, not those that are there already.
offers '--layers|--loss' qwen-capture --l
offers --layers qwen-capture --loss --l
# Commands of a program.
offers '*activations|features' gradient-run slurm ''
offers 'both|mean|mean_abs' gradient-run slurm features --aggregation-mode ''
offers '0|0-3|1|2|3|all' gradient-run slurm activations --model-name demo/model --layers ''
# The drop-in commands.
for command in sae-gradient-analysis layer-gradient-analysis; do
  offers "$files" "$command" --text ''
  offers "$files" "$command" --text = ''
  offers text.raw "$command" --text = te
  offers all "$command" --layers ''
  offers '0|0-3|1|2|3|all' "$command" --model-name demo/model --layers ''
  offers '0,2,3' "$command" --model-name demo/model --layers 0,2,3
  offers 'auto|cpu|cuda' "$command" --device ''
  offers cuda "$command" --device = cu
  offers 'both|mean|mean_abs' "$command" --aggregation-mode ''
  offers 'mean|mean_abs' "$command" --aggregation-mode m
  offers --num-samples "$command" --num
  offers '*--device*--layers*--max-length*--quiet*' "$command" -
  # Every flag that its help names.
  while IFS= read -r flag; do
    offers "*$flag*" "$command" "${flag%?}"
  done < <("$command" --help | grep -oE '^  --[a-z_-]+' | grep -v -- '--jobs' | tr -d ' ')
done
exit $failed
