# Runs pipelines of filters: their exit codes, their messages and their progress. To be sourced.
# shellcheck shell=bash

# Programs tell their progress every second, for show_progress to join.
export GRADIENT_FILTERS_PROGRESS=1
readonly progress_line='^([a-z-]+): [0-9]+( of [0-9]+)? [a-z]+, [0-9.]+( tokens)?/s(, [0-9]+ s left)?$'
readonly device_line='^[a-z-]+: device: (.*)$'
readonly status_mark=$'\x1e'

# What the last run_filters had to say, a line an element, and the device that it used.
messages=() used_device=

# run_filters MAIN TAG INPUT OUTPUT PROGRAM ARGUMENT… [ '|' PROGRAM ARGUMENT… ]…
#
# Runs PROGRAM < INPUT | PROGRAM … > OUTPUT and returns the exit code of the first program that failed by itself; its
# messages, and only its, are then shown. After success `messages` has those of all programs. Progress lines of the
# program MAIN go to the display as those of the task TAG.
run_filters() {
  local main=$1 tag=$2 input=$3 output=$4 report line position name status
  local first=0 failed='' code=0
  shift 4
  # Everything stays in memory: a full disk must not swallow the message that says so.
  report=$({ chain 1 "$@" < "$input" > "$output"; } 3>&1 | sift "$main" "$tag") || true
  messages=() used_device=
  while IFS= read -r line; do
    if [[ $line =~ $device_line ]]; then
      # shellcheck disable=SC2034  # For whoever calls this.
      used_device=${BASH_REMATCH[1]}
      continue
    elif [[ $line != "$status_mark"* ]]; then
      [[ -z $line ]] || messages+=("$line")
      continue
    fi
    read -r position name status <<< "${line#"$status_mark"}"
    ((status == 0)) && continue
    # 141 means that the next program stopped reading: that one's failure comes first.
    if [[ -z $failed ]] || ((code == 141 || (status != 141 && position < first))); then
      first=$position failed=$name code=$status
    fi
  done <<< "$report"
  if [[ $report != *"$status_mark"* ]]; then
    complain "could not run $1"
    return "$write_failed"
  fi
  [[ -n $failed ]] || return 0
  local shown=
  for line in "${messages[@]}"; do
    # Lines without a program's name continue a message, such as a usage text.
    if [[ $line == "$failed: "* || ! $line =~ ^[a-z]+-[a-z]+:\  ]]; then
      tell "$line"
      shown=1
    fi
  done
  if ((code > 128)); then
    complain "$failed: ended by signal $(kill -l "$code" 2> /dev/null || echo $((code - 128)))"
  elif [[ -z $shown ]]; then
    complain "$failed: failed with exit code $code"
  fi
  return "$code"
}

# chain POSITION PROGRAM ARGUMENT… [ '|' … ]: the pipeline; words and exit codes go to descriptor 3.
chain() {
  local position=$1
  local -a command=()
  shift
  while (($#)) && [[ $1 != '|' ]]; do
    command+=("$1")
    shift
  done
  if (($#)); then
    shift
    launch "$position" "${command[@]}" | chain $((position + 1)) "$@"
  else
    launch "$position" "${command[@]}"
  fi
}

launch() {
  local position=$1 status=0
  shift
  # The outer redirection is for the shell's own words about a program that was killed.
  { "$@" 2>&3 || status=$?; } 2> /dev/null
  printf '%s%d %s %d\n' "$status_mark" "$position" "$1" "$status" >&3
}

# Passes on what programs say, except progress and what a person should see at once.
sift() {
  local main=$1 tag=$2 line
  while IFS= read -r line; do
    if [[ $line =~ $progress_line ]]; then
      [[ ${BASH_REMATCH[1]} != "$main" ]] || notify progress "$tag" "${line#*: }"
    elif [[ $line =~ ^[a-z-]+:\ warning:\  ]]; then
      tell "$line"
    else
      [[ ! $line =~ $device_line ]] || notify device "${BASH_REMATCH[1]}"
      printf '%s\n' "$line"
    fi
  done
}
