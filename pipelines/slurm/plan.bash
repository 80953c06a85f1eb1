# Where the files of a run lie; sourced by submit and element, which set $work and read its run.sh.
# shellcheck shell=bash disable=SC2154

# The number of shards that have samples: known when the text has been read.
shard_count() {
  if [[ -e $work/tokens/count ]]; then cat "$work/tokens/count"; else echo "$shards"; fi
}

tokens_file() { printf '%s/tokens/%04d.ts\n' "$work" "$1"; }
gradients_file() { printf '%s/gradients/%04d-%03d.ts\n' "$work" "$1" "$2"; }
sums_file() { printf '%s/sums/%04d-%03d.ts\n' "$work" "$1" "$2"; }

# activations_file SHARD [LAYER]: of one layer, or of all where one pass serves them.
activations_file() {
  if (($# > 1)); then
    printf '%s/activations/%04d-layer-%s.ts\n' "$work" "$1" "$2"
  else
    printf '%s/activations/%04d.ts\n' "$work" "$1"
  fi
}

# With the error term, one pass reads all layers: they lie in one stream. Otherwise each layer has its own, and
# act-grad needs the lowest one of each group only.
captures_together() { [[ -n $sae && -n $error_term ]]; }

captured_layers() {
  if [[ -n $sae ]]; then
    printf '%s\n' "${all_layers[@]}"
  else
    printf '%s\n' "${group_layers[@]%% *}"
  fi
}

has_activations() {
  local layer
  if captures_together; then
    [[ -e $(activations_file "$1") ]]
    return
  fi
  while IFS= read -r layer; do
    [[ -e $(activations_file "$1" "$layer") ]] || return 1
  done < <(captured_layers)
}
