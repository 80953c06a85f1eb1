# Messages, exit codes, numbers and lists that the pipelines share. To be sourced.
# shellcheck shell=bash

# The exit codes of the programs, for what a script finds wrong itself.
# shellcheck disable=SC2034
readonly usage_error=64 malformed_input=65 cannot_open=66 unavailable=69 write_failed=74

# The name it was called by; make install gives some another one.
script=${GRADIENT_FILTERS_COMMAND:-${0##*/}}
unset GRADIENT_FILTERS_COMMAND
quiet=

# Where messages go while show_progress (display.bash) owns the terminal's line; empty before and after.
display=
# Separates the fields of what it is told.
readonly field=$'\x1f'

# tell LINE…: words for the person at the terminal.
tell() {
  local line
  for line in "$@"; do
    if [[ -n $display ]]; then
      printf '%s\n' "say$field$line" >&"$display"
    else
      printf '%s\n' "$line" >&2
    fi
  done
}

complain() { tell "$script: $*"; }
say() { [[ -n $quiet ]] || complain "$*"; }

# fail CODE MESSAGE
fail() {
  local code=$1
  shift
  complain "$*"
  exit "$code"
}

# The programs are those on PATH, else those built or installed beside the pipelines.
require_programs() {
  local here=$1 program folder
  shift
  for program; do
    for folder in "$here/../.build/release" "$here/../bin" "$here/../../bin"; do
      type -P "$program" > /dev/null && break
      [[ ! -x $folder/$program ]] || PATH=$PATH:$(cd "$folder" && pwd)
    done
    type -P "$program" > /dev/null || fail $unavailable "$program: not on PATH: run make, or make install"
  done
}

# The cores this process may use, within its cgroup's quota.
available_cores() {
  local cores quota period
  cores=$(nproc)
  if read -r quota period 2> /dev/null < /sys/fs/cgroup/cpu.max && [[ $quota =~ ^[0-9]+$ && $period =~ ^[1-9] ]]; then
    quota=$(((quota + period - 1) / period))
    ((quota >= cores)) || cores=$quota
  fi
  echo "$((cores > 0 ? cores : 1))"
}

# number FLAG VALUE: VALUE without leading zeros, if it is a number of at least 1.
number() {
  [[ $2 =~ ^0*([1-9][0-9]{0,8})$ ]] || fail $usage_error "$1: expected a number of at least 1, found '$2'"
  echo "${BASH_REMATCH[1]}"
}

# layer_list FLAG TEXT: the layers of 0-23, 0,5,10 or a mix, ascending, one a line. White space around commas and dashes
# is allowed, as the programs have it.
layer_list() {
  local part first last why
  local -a parts
  # A comma at the end, as read drops one.
  IFS=, read -r -a parts <<< "$2,"
  for part in "${parts[@]}"; do
    if [[ $part =~ ^[[:space:]]*([0-9]{1,4})([[:space:]]*-[[:space:]]*([0-9]{1,4}))?[[:space:]]*$ ]]; then
      first=$((10#${BASH_REMATCH[1]})) last=$((10#${BASH_REMATCH[3]:-${BASH_REMATCH[1]}}))
      why="the first layer of $first-$last is larger than the last"
    else
      first=1 last=0 why="'$part' is neither a layer nor a range of layers"
    fi
    ((first <= last)) || fail $usage_error "$1: expected layers such as 0-23 or 0,5,10, found '$2': $why"
    seq "$first" "$last"
  done | sort -nu
}

# layer_text LAYER…: ascending layers as flags spell them, ranges where there are some: 0-3,7.
layer_text() {
  local layer first='' last='' text=''
  for layer in "$@" ''; do
    if [[ -n $layer && -n $last ]] && ((layer == last + 1)); then
      last=$layer
      continue
    fi
    [[ -z $first ]] || text+=,$first
    [[ $first == "$last" ]] || text+=-$last
    first=$layer last=$layer
  done
  echo "${text#,}"
}

# Ends what this shell and its children started; for traps.
end_descendants() {
  local child
  local -a children
  read -r -a children 2> /dev/null < "/proc/$1/task/$1/children" || true
  for child in "${children[@]}"; do
    end_descendants "$child"
    kill "$child" 2> /dev/null || true
  done
}
