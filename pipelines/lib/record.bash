# What a run was made of: hashes of its inputs, its command lines and its times, for run.json. To be sourced.
# shellcheck shell=bash

recorded_commands=()
recorded_timings=()

# record_command WORD…: a command line. Folders of this run alone are left out of it.
record_command() {
  local line
  line=$(shell_words "$@")
  [[ -z $scratch ]] || line=${line//"$scratch/output"/.}
  [[ -z $work_dir ]] || line=${line//"$work_dir/"/}
  recorded_commands+=("$line")
}

# record_timing STAGE MILLISECONDS kept|made
record_timing() {
  recorded_timings+=("$(printf '{"stage": %s, "seconds": %d.%03d, "kept": %s}' "$(json_text "$1")" \
    $(($2 / 1000)) $(($2 % 1000)) "$([[ $3 == kept ]] && echo true || echo false)")")
}

# The files that a run depends on, one a line.
input_files() {
  local layer
  printf '%s\n' "$text"
  tokenizer_files "$model_folder"
  model_files "$model_folder"
  [[ $unit == feature ]] || return 0
  for layer in "${layers[@]}"; do autoencoder_files "$(autoencoder_path "$sae" "$layer")"; done
}

# The programs of a run.
used_programs() { printf '%s\n' wt-tokenize qwen-capture "$gradient_program" grad-aggregate grad-plot; }

hash_inputs() {
  local -a files programs
  mapfile -t files < <(input_files)
  mapfile -t programs < <(program_files)
  learn_hashes "${files[@]}" "${programs[@]}"
  mapfile -t files < <(model_files "$model_folder")
  model_hashes=$(hashes "${files[@]}")
  mapfile -t files < <(tokenizer_files "$model_folder")
  tokenizer_hashes=$(hashes "${files[@]}")
}

# The same while the programs work, for runs that need the hashes for the record only. take_hashes ends it.
hash_inputs_meanwhile() {
  local -a files
  mapfile -t files < <(input_files && program_files)
  exec {hashing}< <(
    learn_hashes "${files[@]}"
    for file in "${!hash_of[@]}"; do printf '%s %s\n' "${hash_of[$file]}" "$file"; done
    echo done
  )
}

take_hashes() {
  local hash file
  [[ -n $hashing ]] || return 0
  # shellcheck disable=SC2004
  while read -r -u "$hashing" hash file && [[ $hash != 'done' ]]; do hash_of[$file]=$hash; done
  exec {hashing}<&-
  [[ $hash == 'done' ]]
}

program_files() {
  local program
  for program in $(used_programs); do type -P "$program"; done
}

program_hash() { printf '%s\n' "${hash_of[$(type -P "$1")]}"; }

# autoencoder_hashes LAYERS: the hashes of these layers' autoencoders.
autoencoder_hashes() {
  local layer
  local -a files
  [[ $unit == feature ]] || return 0
  for layer in $(layer_list --layers "$1"); do
    mapfile -t files < <(autoencoder_files "$(autoencoder_path "$sae" "$layer")")
    hashes "${files[@]}"
  done
}

# run.json: what it takes to run this again, and to know whether it was the same.
write_record() {
  local program milliseconds used_device=null
  milliseconds=$(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
  printf '{\n  "format": "gradient-filters-run/1",\n'
  printf '  "command": %s,\n' "$(json_text "$command_line")"
  printf '  "directory": %s,\n' "$(json_text "$PWD")"
  printf '  "started": "%s",\n' "$(date -u -d "@$started" +%Y-%m-%dT%H:%M:%SZ)"
  printf '  "seconds": %d.%03d,\n' $((milliseconds / 1000)) $((milliseconds % 1000))
  printf '  "stages": '
  json_list "${recorded_timings[@]}"
  # Null where all that needs one was there already.
  [[ ! -s $scratch/device ]] || used_device=$(json_text "$(< "$scratch/device")")
  printf ',\n  "device": %s,\n' "$used_device"
  printf '  "programs": {'
  local separator=
  for program in $(used_programs); do
    printf '%s\n    %s: {"version": %s, "sha256": "%s"}' "$separator" "$(json_text "$program")" \
      "$(json_text "$("$program" --version)")" "$(program_hash "$program")"
    separator=,
  done
  printf '\n  },\n  "pipeline": '
  local -a quoted=()
  local line
  for line in "${recorded_commands[@]}"; do quoted+=("$(json_text "$line")"); done
  json_list "${quoted[@]}"
  printf ',\n  "model": %s,\n' "$(json_text "$model")"
  printf '  "layers": %s,\n' "$(json_text "$(layer_text "${layers[@]}")")"
  printf '  "layers_without_autoencoder": %s,\n' "$(json_text "$(layer_text "${missing_layers[@]}")")"
  printf '  "inputs": '
  json_files
  printf '\n}\n'
}

# json_list JSON…
json_list() {
  local item separator=
  printf '['
  for item; do
    printf '%s\n    %s' "$separator" "$item"
    separator=,
  done
  printf '\n  ]'
}

json_files() {
  local file
  local -a entries=()
  while IFS= read -r file; do
    entries+=("$(printf '{"path": %s, "bytes": %d, "sha256": "%s"}' \
      "$(json_text "$file")" "$(stat -Lc %s -- "$file")" "${hash_of[$file]}")")
  done < <(input_files)
  json_list "${entries[@]}"
}
