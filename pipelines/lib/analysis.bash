# The two drop-in commands: their flags, their stages and what they leave behind. To be sourced, then: analyse UNIT …
# shellcheck shell=bash

lib=${BASH_SOURCE[0]%/*}
# shellcheck source=common.bash
. "$lib/common.bash"
# shellcheck source=display.bash
. "$lib/display.bash"
# shellcheck source=filters.bash
. "$lib/filters.bash"
# shellcheck source=inputs.bash
. "$lib/inputs.bash"
# shellcheck source=streams.bash
. "$lib/streams.bash"
# shellcheck source=record.bash
. "$lib/record.bash"

# analyse feature|activation ARGUMENT…
analyse() {
  local unit=$1
  shift
  local started=$EPOCHSECONDS begun=${EPOCHREALTIME/[.,]/} command_line
  command_line=$(shell_words "$script" "$@")
  read_options "$@"
  find_inputs
  trap clean_up EXIT
  trap 'exit 130' INT
  start_display
  make_scratch
  if [[ -n $work_dir ]]; then
    cached_run
  else
    direct_run
  fi
  [[ -z $save ]] || save_output
  stop_display
  ((${#statistics[@]} == 0)) || printf '%s\n' "${statistics[@]}"
  [[ -z $save ]] || say "wrote $saved_folder"
  if ((${#missing_layers[@]})); then
    complain "not analysed, their autoencoders are missing: layers $(layer_text "${missing_layers[@]}")"
    exit $cannot_open
  fi
}

# ---------------------------------------------------------------------------------------------------------- options

read_options() {
  local argument name value given
  model=Qwen/Qwen2.5-0.5B samples=500 batch_size=4 max_length=128 save='' layers_option=0-23 mode=mean_abs
  device=auto precision=float32 text=$default_text sae='' output_dir=. work_dir='' match_python='' threads='' jobs=1
  stride=4 error_term='' ignore_place=''
  while (($#)); do
    argument=$1
    shift
    name=$argument value='' given=''
    case $argument in
      --*=*) name=${argument%%=*} value=${argument#*=} given=1 ;;
      -P?*) name=-P value=${argument#-P} given=1 ;;
    esac
    [[ $name != --* ]] || name=${name//_/-}
    if [[ $unit == activation && $name =~ ^--(sae|stride|use-error-term|ignore-sae-place)$ ]]; then
      fail $usage_error "$name: a flag of sae-gradient-analysis only"
    fi
    case $name in
      --save-outputs | --match-python | --use-error-term | --ignore-sae-place | --quiet | -q | --help | -h | --version)
        [[ -z $given ]] || fail $usage_error "$name: takes no value, found '$value'"
        ;;
      --model-name | --num-samples | --batch-size | --max-length | --layers | --device | --precision | \
        --aggregation-mode | --text | --sae | --output-dir | --work-dir | --threads | --jobs | -P | --stride)
        if [[ -z $given ]]; then
          (($#)) || fail $usage_error "$name: expected a value, found none"
          value=$1
          shift
        fi
        [[ -n $value ]] || fail $usage_error "$name: expected a value, found an empty one"
        ;;
      *) fail $usage_error "$argument: no such flag; $script --help lists them" ;;
    esac
    case $name in
      --model-name) model=$value ;;
      --num-samples) samples=$(number "$name" "$value") ;;
      --batch-size) batch_size=$(number "$name" "$value") ;;
      --max-length) max_length=$(number "$name" "$value") ;;
      --save-outputs) save=1 ;;
      --layers) layers_option=$value ;;
      --device) device=$value ;;
      --precision) precision=$value ;;
      --aggregation-mode) mode=$value ;;
      --text) text=$value ;;
      --sae) sae=$value ;;
      --output-dir) output_dir=$value ;;
      --work-dir) work_dir=$value ;;
      --match-python) match_python=1 ;;
      --threads) threads=$(number "$name" "$value") ;;
      --jobs | -P) jobs=$(number "$name" "$value") ;;
      --stride) stride=$(number "$name" "$value") ;;
      --use-error-term) error_term=1 ;;
      --ignore-sae-place) ignore_place=1 ;;
      --quiet | -q) quiet=1 ;;
      --help | -h)
        help
        exit 0
        ;;
      --version)
        require_programs "$here" grad-aggregate
        grad-aggregate --version
        exit 0
        ;;
    esac
  done
  [[ $mode =~ ^(mean|mean_abs|both)$ ]] ||
    fail $usage_error "--aggregation-mode: expected mean, mean_abs or both, found '$mode'"
  [[ $device =~ ^(auto|cpu|cuda(:[0-9]{1,3})?)$ ]] ||
    fail $usage_error "--device: expected auto, cpu, cuda or cuda:N, found '$device'"
  [[ $precision =~ ^(float32|tf32|bf16)$ && ($device != cpu || $precision == float32) ]] ||
    fail $usage_error "--precision: expected float32, or on a GPU tf32 or bf16, found '$precision'"
  output_dir=${output_dir%/} work_dir=${work_dir%/}
  [[ -n $output_dir ]] || output_dir=/
}

help() {
  local of='MLP outputs' flags=''
  if [[ $unit == feature ]]; then
    of='SAE features'
    flags="
  --sae PATTERN              the autoencoders, {layer} being the layer's number: folders, files or a hub id
                             (default: what lies at */mlp_out_layer_{layer}/trainer_0 below this folder)
  --stride 4                 take every n-th position of a sample
  --use-error-term           add what the autoencoder misses back as a constant: one pass for all layers
  --ignore-sae-place         go on with autoencoders that were made for another layer or place"
  fi
  cat << END
usage: $script [--save_outputs] [flags]

Averaged gradients of a Qwen2 model's loss on WikiText with respect to its $of, a layer each.
Gradients are those of the summed loss divided by batch_size × (max_length - 1), the predictions of a batch of padded
samples: the PyTorch scripts' scale. They are averaged over all recorded positions alike, so that it does not matter how
samples fall into batches.
Flags may be spelled with _ or -, their values follow after a space or =.

  --model_name Qwen/Qwen2.5-0.5B
                             a hub id in the local cache, or a folder
  --num_samples 500          samples of the text
  --batch_size 4             samples a batch
  --max_length 128           tokens that a sample is cut to
  --layers 0-23              0-23, 0,5,10, a mix, or all
  --device auto              auto, cpu, cuda or cuda:N
  --precision float32        how a GPU multiplies: float32, tf32 or bf16
  --aggregation_mode mean_abs
                             mean_abs, mean or both
  --save_outputs             leave arrays, pictures and run.json in a new folder; else statistics are printed only
  --text FILE                the text, samples being its longer lines
                             (default: $default_text)$flags
  --match-python             pad samples, and average over batches, as the PyTorch scripts do: the same numbers
  --output-dir .             where the new folder goes
  --work-dir DIR             keep tokens, activations, gradients and sums there, and use what is there
  --threads N                threads to compute with (default: the cores this process may use)
  --jobs 1, -P 1             layers at a time, which share the threads
  --quiet, -q                statistics and errors only

e.g.  $script --num_samples 100 --layers 0,5,10 --aggregation_mode both --save_outputs
      $script --save_outputs --work-dir work    # killed? the same line goes on where it was

Exit codes: 0 done; 64 usage; 65 malformed input; 66 cannot open, or a layer's autoencoder is missing; 69 no such
device; 74 a read or write failed; else that of the program that failed.
END
}

# ----------------------------------------------------------------------------------------------------------- inputs

# Sets model_folder, layer_count, layers (those to analyse), missing_layers, and the programs' common flags.
find_inputs() {
  local list layer last
  gradient_program='act-grad'
  [[ $unit == activation ]] || gradient_program='sae-grad'
  require_programs "$here" wt-tokenize qwen-capture "$gradient_program" grad-aggregate grad-plot
  model_folder=$(hub_folder "$model") || fail $cannot_open \
    "$model: the model is neither a folder nor in $hub_cache; this brings it: hf download $model"
  layer_count=$(configured num_hidden_layers) ||
    fail $malformed_input "$model_folder/config.json: expected num_hidden_layers, found none"
  [[ $layers_option != all ]] || layers_option=0-$((layer_count - 1))
  list=$(layer_list --layers "$layers_option")
  mapfile -t asked_layers <<< "$list"
  last=${asked_layers[-1]}
  ((last < layer_count)) ||
    fail $usage_error "--layers: layer $last: the model's last layer is $((layer_count - 1))"
  [[ -f $text && -r $text ]] || [[ -e $text && ! -d $text && -z $work_dir && -z $save ]] ||
    fail $cannot_open \
      "$text: cannot open: expected a file of text; pipelines/fetch brings WikiText-2, --text names another"

  layers=("${asked_layers[@]}") missing_layers=()
  if [[ $unit == feature ]]; then
    if [[ -z $sae ]]; then
      sae=$(find_autoencoders "${layers[@]}")
      say "autoencoders: $sae"
    fi
    [[ ${#layers[@]} == 1 || $sae == *'{layer}'* ]] ||
      fail $usage_error "--sae: expected {layer} in the path, since there are several layers, found '$sae'"
    layers=()
    for layer in "${asked_layers[@]}"; do
      if autoencoder_path "$sae" "$layer" > /dev/null; then
        layers+=("$layer")
      else
        complain "layer $layer: skipped: no autoencoder at ${sae//'{layer}'/$layer}"
        missing_layers+=("$layer")
      fi
    done
    ((${#layers[@]})) || fail $cannot_open "$sae: no autoencoder for any of the layers $layers_option"
  fi
  compute_flags
  # One pass serves all layers, except where each has a forward pass of its own.
  by_layer=
  [[ $unit == activation || -n $error_term ]] || by_layer=1
  head_layers=$(head_work)
}

# configured KEY: a whole number of the model's configuration.
configured() {
  local settings
  settings=$(< "$model_folder/config.json") || return 1
  [[ $settings =~ \"$1\"[[:space:]]*:[[:space:]]*([0-9]{1,9})[^0-9.] ]] || return 1
  echo "${BASH_REMATCH[1]}"
}

# The work of the output head, in layers; it only weighs times that are left.
head_work() {
  local hidden intermediate words heads groups
  if hidden=$(configured hidden_size) && intermediate=$(configured intermediate_size) &&
    words=$(configured vocab_size) && heads=$(configured num_attention_heads) && groups=$(configured num_key_value_heads)
  then
    echo "$((1 + words * heads / (2 * hidden * (heads + groups) + 3 * intermediate * heads)))"
  else
    echo 9
  fi
}

# --------------------------------------------------------------------------------------------------------- commands
# Each leaves a command line in the array of its name.

compute_flags() {
  compute=(--device "$device")
  [[ $precision == float32 ]] || compute+=(--precision "$precision")
  [[ -z $threads ]] || compute+=(--threads "$threads")
}

tokenize_command() {
  tokenize=(wt-tokenize --tokenizer "$model" --num-samples "$samples" --batch-size "$batch_size"
    --max-length "$max_length")
  [[ -z $match_python ]] || tokenize+=(--padding max-length)
}

# capture_command LAYERS
capture_command() {
  capture=(qwen-capture --model "$model" --layers "$1" "${compute[@]}")
  # Without it sae-grad would run the unmodified model for every layer that it works on alone.
  [[ -z $by_layer || -z $work_dir ]] || capture+=(--loss)
}

# gradient_command LAYERS
gradient_command() {
  gradient=("$gradient_program" --model "$model" --layers "$1" "${compute[@]}")
  [[ $unit == feature ]] || return 0
  gradient+=(--sae "$sae" --stride "$stride")
  [[ -z $match_python ]] || gradient+=(--stride-scope batch)
  [[ -z $error_term ]] || gradient+=(--use-error-term)
  [[ -z $ignore_place ]] || gradient+=(--ignore-sae-place)
}

aggregate_command() {
  # The scripts' scale, but every position counts the same whatever batch it is in; else their averages themselves.
  averaging=(--loss-reduction padded --weighting position)
  [[ -z $match_python ]] || averaging=(--loss-reduction batch --weighting batch)
  aggregate=(grad-aggregate --mode "$mode" "${averaging[@]}" "${compute[@]}")
  [[ $unit == activation ]] || aggregate+=(--sae "$sae")
}

# The layers that must be captured.
captured_layers() {
  if [[ $unit == activation ]]; then echo "${layers[0]}"; else layer_text "${layers[@]}"; fi
}

# ----------------------------------------------------------------------------------------------------------- stages

# begin_stage NAME TASKS WEIGHT
begin_stage() {
  stage=$1 stage_begun=${EPOCHREALTIME/[.,]/}
  stage_number=$((stage_number + 1))
  notify stage "[$stage_number/$stage_count] $stage" "$2"
  notify weight "$3"
}

# end_stage kept|made DETAILS…
end_stage() {
  local how=$1 milliseconds=$(((${EPOCHREALTIME/[.,]/} - stage_begun) / 1000)) seconds
  shift
  seconds=$((milliseconds / 1000)).$((milliseconds / 100 % 10))
  record_timing "$stage" "$milliseconds" "$how"
  say "[$stage_number/$stage_count] $stage${*:+: $*} ($seconds s)"
}

stage_number=0
statistics=()

# Keeps the statistics of the last run_filters, and tells the rest. Some run in a shell of their own: what run.json
# is to say of them goes through a file.
read_messages() {
  local line
  [[ -z $save || -z $used_device ]] || printf '%s\n' "$used_device" > "$scratch/device" || exit $write_failed
  for line in "${messages[@]}"; do
    if [[ $line =~ ^(Layer\ [0-9]+:|\ \ Mean\ ) ]]; then
      statistics+=("$line")
    elif [[ -z $quiet && ! $line =~ ^grad-aggregate:\ [0-9]+\ records ]]; then
      tell "${line//" in $scratch/output"/}"
    fi
  done
}

# Everything through one pipe, nothing kept.
direct_run() {
  local layer_list code=0
  local -a pipeline plot=()
  if needs_stream_files; then
    work_dir=$scratch/work
    mkdir "$work_dir" || exit $write_failed
    say "the activations of ${#layers[@]} layers go to $scratch meanwhile"
    cached_run
    return
  fi
  stage_count=1
  layer_list=$(layer_text "${layers[@]}")
  tokenize_command
  capture_command "$(captured_layers)"
  gradient_command "$layer_list"
  aggregate_command
  if [[ -n $save ]]; then
    hash_inputs_meanwhile
    aggregate+=(--save "$scratch/output")
    plot=('|' grad-plot --output "$scratch/output")
  fi
  pipeline=("${tokenize[@]}" "$text" '|' "${capture[@]}" '|' "${gradient[@]}" '|' "${aggregate[@]}" "${plot[@]}")
  record_command "${pipeline[@]}"
  begin_stage "text to averages, layers $layer_list" 1 1
  notify start all 1
  run_filters "$gradient_program" all /dev/null /dev/null "${pipeline[@]}" || code=$?
  notify finish all
  ((code == 0)) || exit "$code"
  read_messages
  end_stage made
}

# A stage at a time; the stream of each stays in the work directory.
cached_run() {
  local layer layer_list
  local -a tasks files=()
  stage_count=5
  mkdir -p "$work_dir" || exit $write_failed
  sweep "$work_dir"/*.partial
  hash_memory=$work_dir/input-hashes
  hash_inputs
  layer_list=$(layer_text "${layers[@]}")
  tasks=("$layer_list")
  [[ -z $by_layer ]] || tasks=("${layers[@]}")
  tokenize_command
  capture_command "$(captured_layers)"
  aggregate_command
  name_streams
  find_missing

  begin_stage tokens 1 1
  make_stage tokens_stage "${missing_tokens[@]}"
  begin_stage activations 1 1
  make_stage activations_stage "${missing_activations[@]}"
  share_threads
  make_stages gradients make_gradients "${missing_gradients[@]}"
  make_stages sums make_sums "${missing_sums[@]}"

  record_command "${tokenize[@]}" "$text" '>' "$tokens"
  if [[ -n $by_layer ]]; then
    record_command "${capture[@]}" --split "$(activations_of '{layer}')" '<' "$tokens"
  else
    record_command "${capture[@]}" '<' "$tokens" '>' "$(activations_of)"
  fi
  for layer in "${tasks[@]}"; do
    gradient_command "$layer"
    record_command "${gradient[@]}" '<' "$(activations_of "$layer")" '>' "${gradients[$layer]}"
    record_command "${aggregate[@]}" --partial '<' "${gradients[$layer]}" '>' "${sums[$layer]}"
    files+=("${sums[$layer]}")
  done

  local -a plot=()
  if [[ -n $save ]]; then
    aggregate+=(--save "$scratch/output")
    plot=('|' grad-plot --output "$scratch/output")
  fi
  begin_stage "averages${save:+ and pictures}" 1 1
  record_command "${aggregate[@]}" "${files[@]}" "${plot[@]}"
  local code=0
  run_filters grad-aggregate all /dev/null /dev/null "${aggregate[@]}" "${files[@]}" "${plot[@]}" || code=$?
  ((code == 0)) || exit "$code"
  read_messages
  end_stage made
}

# Names every stream by whatever determines it, except what changes no more than rounding: threads.
name_streams() {
  local task key base name capture_flags=''
  key=$(key_of "$(program_hash wt-tokenize)" "${tokenize[@]:3}" "$tokenizer_hashes" "${hash_of[$text]}")
  tokens=$work_dir/tokens-$key.ts
  [[ -z $by_layer ]] || capture_flags=--loss
  activations_key=$(key_of "$key" "$(program_hash qwen-capture)" "$model_hashes" "$device" "$precision" "$capture_flags")
  base=$(key_of "$activations_key" "$(program_hash "$gradient_program")" "$model_hashes" "$device" "$precision" \
    "$stride" "$match_python" "$error_term")
  declare -gA gradients=() sums=()
  for task in "${tasks[@]}"; do
    key=$(key_of "$base" "$task" "$(autoencoder_hashes "$task")")
    name=layer-$task
    [[ $task =~ ^[0-9]+$ ]] || name=layers-$task
    gradients[$task]=$work_dir/gradients-$gradient_program-$name-$key.ts
    key=$(key_of "$key" "$(program_hash grad-aggregate)" "$mode" "${averaging[@]}")
    sums[$task]=$work_dir/sums-$mode-$name-$key.ts
  done
}

# The activations of one layer each where layers run apart, else one stream.
activations_of() {
  if [[ -n $by_layer ]]; then
    echo "$work_dir/activations-$activations_key-layer-$1.ts"
  else
    echo "$work_dir/activations-$activations_key-layers-$(captured_layers).ts"
  fi
}

# Finds what must be made, from the end: what is there needs none of what it was made of.
find_missing() {
  local task
  missing_tokens=() missing_activations=() missing_gradients=() missing_sums=()
  for task in "${tasks[@]}"; do
    [[ ! -e ${sums[$task]} ]] || continue
    missing_sums+=("$task")
    [[ ! -e ${gradients[$task]} ]] || continue
    missing_gradients+=("$task")
    [[ ! -e $(activations_of "$task") ]] || continue
    missing_activations+=("$task")
    [[ -e $tokens ]] || missing_tokens=(all)
  done
}

# Layers that run side by side have their part of the cores each.
share_threads() {
  local cores=${threads:-$(available_cores)}
  ((jobs > 1 && ${#tasks[@]} > 1)) || return 0
  ((jobs <= ${#tasks[@]})) || jobs=${#tasks[@]}
  threads=$((cores / jobs > 0 ? cores / jobs : 1))
  compute_flags
  aggregate_command
}

# make_stage FUNCTION TASK…: a stage of one program, unless there are no tasks.
make_stage() {
  local function=$1 code=0
  shift
  if (($# == 0)); then
    end_stage kept "$(kept_text)"
    return
  fi
  notify start all 1
  "$function" "$@" || code=$?
  notify finish all
  ((code == 0)) || exit "$code"
  end_stage made "$(kept_text "$@")"
}

# make_stages NAME FUNCTION TASK…: a stage of a program for each task.
make_stages() {
  local name=$1 function=$2 task code=0 work=0
  shift 2
  stage=$name
  for task; do work=$((work + $(work_of "$task"))); done
  begin_stage "$name" $# "$work"
  if (($# == 0)); then
    end_stage kept "$(kept_text)"
    return
  fi
  [[ -z $by_layer ]] || say "[$stage_number/$stage_count] $name: $(kept_text "$@" | sed 's/ made$/ to be made/')"
  each_of "$jobs" "$function" "$@" || code=$?
  ((code == 0)) || exit "$code"
  end_stage made "$(kept_text "$@")"
}

# kept_text MADE…: which of the stage's streams were there, besides those that were made.
kept_text() {
  local task path text=''
  local -a kept=() all=("${tasks[@]}")
  [[ $stage != tokens ]] || all=(all)
  for task in "${all[@]}"; do
    case $stage in
      tokens) path=$tokens ;;
      activations) path=$(activations_of "$task") ;;
      gradients) path=${gradients[$task]} ;;
      sums) path=${sums[$task]} ;;
    esac
    [[ ! -e $path || " $* " == *" $task "* ]] || kept+=("$task")
  done
  if [[ -z $by_layer || $stage == tokens ]]; then
    if (($#)); then echo made; elif ((${#kept[@]})); then echo "there"; else echo "not needed"; fi
    return
  fi
  ((${#kept[@]} == 0)) || text="layers $(layer_text "${kept[@]}") there"
  if (($#)); then
    text+="${text:+, }layers $(layer_text "$@") made"
  elif ((${#kept[@]} < ${#all[@]})); then
    text+="${text:+, the others }not needed"
  fi
  echo "$text"
}

# The share of a layer in its stage's work: its way through the layers above it and the output head, in layers.
work_of() {
  if [[ -z $by_layer || $stage == sums ]]; then echo 1; else echo "$((layer_count - $1 + head_layers))"; fi
}

tokens_stage() {
  make_stream "$tokens" wt-tokenize all /dev/null "${tokenize[@]}" "$text"
}

# activations_stage LAYERS…
activations_stage() {
  if [[ -n $by_layer ]]; then
    split_activations "$@"
  else
    make_stream "$(activations_of)" qwen-capture all "$tokens" "${capture[@]}"
  fi
}

make_gradients() {
  local code=0
  gradient_command "$1"
  notify start "$1" "$(work_of "$1")"
  make_stream "${gradients[$1]}" "$gradient_program" "$1" "$(activations_of "$1")" "${gradient[@]}" || code=$?
  notify finish "$1"
  return "$code"
}

make_sums() {
  local code=0
  notify start "$1" 1
  make_stream "${sums[$1]}" grad-aggregate "$1" "${gradients[$1]}" "${aggregate[@]}" --partial || code=$?
  notify finish "$1"
  return "$code"
}

# make_stream PATH MAIN TASK INPUT PROGRAM ARGUMENT…: PATH, complete or absent.
make_stream() {
  local path=$1 main=$2 task=$3 input=$4 code=0
  shift 4
  lock_partial file "$path" || return
  if [[ -e $path ]]; then
    abandon "$path"
    return
  fi
  run_filters "$main" "$task" "$input" "$path.partial" "$@" || code=$?
  if ((code)); then
    abandon "$path"
    complain "${path##*/}: not made"
    ((code != malformed_input)) || [[ $input != "$work_dir"/* ]] ||
      complain "if $input is damaged, remove it: it will be made again"
    return "$code"
  fi
  publish "$path" || return
  read_messages
}

# split_activations LAYER…: through a folder, since one program writes all of them.
split_activations() {
  local path=$work_dir/activations-$activations_key layer code=0
  local -a still=()
  lock_partial folder "$path" || return
  for layer; do
    [[ -e $(activations_of "$layer") ]] || still+=("$layer")
  done
  if ((${#still[@]})); then
    rm -rf "$path.partial/"*
    local -a capture
    capture_command "$(layer_text "${still[@]}")"
    run_filters qwen-capture all "$tokens" /dev/null "${capture[@]}" --split "$path.partial/layer-{layer}.ts" || code=$?
    ((code)) || sync "$path.partial"/layer-*.ts || code=$write_failed
    for layer in "${still[@]}"; do
      ((code)) || mv -T "$path.partial/layer-$layer.ts" "$(activations_of "$layer")" || code=$write_failed
    done
  fi
  abandon "$path"
  if ((code)); then
    complain "${path##*/}: not made"
    return "$code"
  fi
  sync "$work_dir" || true
  ((${#still[@]} == 0)) || read_messages
}

# ------------------------------------------------------------------------------------------------------------ files

scratch=
hashing=
saved_folder=

# A folder for what is not complete yet, beside what it will become. Another run sweeps it when this one is dead.
make_scratch() {
  local parent=${TMPDIR:-/tmp} temporary descriptor
  if [[ -n $save ]]; then
    parent=$output_dir
    mkdir -p "$parent" || exit $write_failed
  elif ! needs_stream_files; then
    return 0
  fi
  scratch_parent=${parent%/}
  sweep "$scratch_parent"/.gradient-filters-*.partial
  while :; do
    temporary=$scratch_parent/.gradient-filters-$$-$RANDOM.partial
    mkdir "$temporary" || exit $write_failed
    { exec {descriptor}< "$temporary"; } 2> /dev/null || continue
    flock -n "$descriptor" && [[ $temporary -ef /proc/self/fd/$descriptor ]] && break
    exec {descriptor}<&-
  done
  scratch=$temporary
  [[ -z $save ]] || mkdir "$scratch/output" || exit $write_failed
}

# Whether there is no work directory though layers run side by side, which takes their activations as files.
needs_stream_files() { [[ -z $work_dir && -n $by_layer ]] && ((jobs > 1 && ${#layers[@]} > 1)); }

# The folder with the scripts' name, complete.
save_output() {
  local prefix=model_ stamp name
  [[ $unit == feature ]] || prefix=layer_activations_model_
  take_hashes || exit $cannot_open
  stamp=$(date -d "@$started" +%Y%m%d_%H%M%S)
  while :; do
    name=$prefix${model//\//_}_num_samples_${samples}_batch_size_${batch_size}
    name+=_layers_${asked_layers[0]}to${asked_layers[-1]}_$stamp
    [[ -e $output_dir/$name ]] || break
    sleep 1
    stamp=$(date +%Y%m%d_%H%M%S)
  done
  if ! { write_record > "$scratch/output/run.json" && sync "$scratch/output"/* "$scratch/output" &&
    mv -T "$scratch/output" "$output_dir/$name"; }; then
    complain "$output_dir/$name: cannot write"
    exit $write_failed
  fi
  sync "$output_dir" || true
  saved_folder=$output_dir/$name
  saved_folder=${saved_folder#./}
}

clean_up() {
  local code=$?
  trap - EXIT INT
  end_descendants $$
  stop_display
  if [[ -n $scratch ]]; then
    rm -rf "$scratch"
    # At the start a run that had just been killed may still have been dying, with its locks.
    sweep "$scratch_parent"/.gradient-filters-*.partial
  fi
  [[ -z $work_dir ]] || sweep "$work_dir"/*.partial
  exit "$code"
}
