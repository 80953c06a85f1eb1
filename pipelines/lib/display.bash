# One progress display for a whole job: a line that rewrites itself on a terminal, a line every ten seconds elsewhere.
# To be sourced.
# shellcheck shell=bash

start_display() {
  [[ -z $display ]] || return 0
  exec {display}> >(show_progress)
  display_process=$!
}

# Returns when everything is shown.
stop_display() {
  [[ -n $display ]] || return 0
  local descriptor=$display
  display=
  exec {descriptor}>&-
  wait "$display_process" 2> /dev/null || true
}

# notify KIND FIELD…: tells the display
#   stage TITLE TASKS      a stage of so many tasks begins (a task is a layer, or all there is to do)
#   start TASK WEIGHT      the task runs; its share of the stage's work is WEIGHT of the sum of all
#   weight WEIGHT          that sum
#   progress TASK TEXT     what its program says: 12 of 500 samples, 87 tokens/s, 300 s left
#   finish TASK
#   device TEXT            shown once
#   info TEXT              shown unless --quiet was given
notify() {
  [[ -n $display ]] || return 0
  local IFS=$field
  printf '%s\n' "$*" >&"$display"
}

show_progress() {
  local kind a b terminal='' columns=80 shown=$SECONDS drawn='' device='' now
  local title='' tasks=1 finished=0 work=1 work_done=0 begun=0
  local -A weight=() fraction=() rate=() state=()
  # The shell that it belongs to ends it, by closing the pipe: a last message must still be shown after Ctrl-C.
  trap '' INT TERM HUP
  trap - EXIT
  if [[ -t 2 ]]; then
    terminal=1
    read -r _ columns 2> /dev/null < <(stty size <&2) || columns=80
  fi
  while IFS=$field read -r kind a b; do
    case $kind in
      say)
        [[ -z $drawn ]] || printf '\r\e[K' >&2
        drawn=
        printf '%s\n' "$a" >&2
        continue
        ;;
      info)
        [[ -z $quiet ]] || continue
        [[ -z $drawn ]] || printf '\r\e[K' >&2
        drawn=
        printf '%s\n' "$a" >&2
        continue
        ;;
      device)
        [[ $device != "$a" && -z $quiet ]] || continue
        device=$a
        [[ -z $drawn ]] || printf '\r\e[K' >&2
        drawn=
        printf '%s\n' "$script: device: $a" >&2
        continue
        ;;
      stage)
        title=$a tasks=$b finished=0 work=$b work_done=0 begun=${EPOCHREALTIME/[.,]/}
        weight=() fraction=() rate=() state=()
        ;;
      weight) work=$a ;;
      start)
        weight[$a]=$b fraction[$a]=0 rate[$a]=0 state[$a]=
        ;;
      progress)
        [[ -v weight[$a] ]] || continue
        state[$a]=${b%%, *}
        [[ ! $b =~ ^([0-9]+)\ of\ ([1-9][0-9]*) ]] ||
          fraction[$a]=$((BASH_REMATCH[1] * 10000 / BASH_REMATCH[2]))
        [[ ! $b =~ \ ([0-9]+)(\.[0-9]+)?\ tokens/s ]] || rate[$a]=${BASH_REMATCH[1]}
        ;;
      finish)
        [[ ! -v weight[$a] ]] || ((work_done += weight[$a])) || true
        unset "weight[$a]" "fraction[$a]" "rate[$a]" "state[$a]"
        finished=$((finished + 1))
        ;;
    esac
    [[ -z $quiet ]] || continue
    now=$SECONDS
    if [[ -n $terminal ]]; then
      progress_text
      printf '\r\e[K%s' "${REPLY:0:columns-1}" >&2
      drawn=1
    elif ((now - shown >= 10)); then
      progress_text
      printf '%s\n' "$script: $REPLY" >&2
      shown=$now
    fi
  done
  [[ -z $drawn ]] || printf '\r\e[K' >&2
}

# Leaves the line for what show_progress knows in REPLY, the most important first: a narrow terminal cuts the rest off.
progress_text() {
  local task tokens=0 part=$((work_done * 10000)) whole=$((work * 10000)) elapsed details=''
  local -a names
  REPLY=$title
  mapfile -t names < <(printf '%s\n' "${!weight[@]}" | sort -n)
  for task in "${names[@]}"; do
    [[ -n $task ]] || continue
    tokens=$((tokens + rate[$task]))
    part=$((part + weight[$task] * fraction[$task]))
    # Only layers that run apart need telling apart.
    if [[ $task =~ ^[0-9]+$ ]]; then
      details+="; layer $task${state[$task]:+: ${state[$task]}}"
    elif [[ -n ${state[$task]} ]]; then
      details+="; ${state[$task]}"
    fi
  done
  ((tasks == 1)) || REPLY+=": $finished of $tasks layers done"
  ((tokens == 0)) || REPLY+=", $tokens tokens/s"
  elapsed=$(((${EPOCHREALTIME/[.,]/} - begun) / 1000))
  if ((part > 0 && part < whole && elapsed > 1000)); then
    REPLY+=", $(duration $((elapsed * (whole - part) / part / 1000))) left"
  fi
  REPLY+=$details
}

# duration SECONDS, as people say it.
duration() {
  if (($1 >= 3600)); then
    echo "$(($1 / 3600)) h $(($1 % 3600 / 60)) min"
  elif (($1 >= 120)); then
    echo "$(($1 / 60)) min"
  else
    echo "$1 s"
  fi
}
