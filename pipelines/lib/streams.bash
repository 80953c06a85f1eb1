# Files that are complete or absent, and runs that share a folder. To be sourced.
#
# A file is written as NAME.partial, which its writer has locked, and gets its name when its program has exited with 0
# and its bytes are on the disk. So whatever has its name is complete, and a .partial that nobody has locked is what a
# killed run left behind.
# shellcheck shell=bash

# lock_partial file|folder PATH: makes PATH.partial and locks it for this shell and what it starts, after any other run
# that has it. The caller then looks whether PATH still needs making, and ends with publish or abandon.
lock_partial() {
  local kind=$1 partial=$2.partial
  while :; do
    if [[ $kind == folder ]]; then
      mkdir -p "$partial" || return "$write_failed"
      exec {partial_lock}< "$partial" || continue
    else
      { exec {partial_lock}>> "$partial"; } || return "$write_failed"
    fi
    if ! flock -n "$partial_lock"; then
      say "waiting for another run, which is making $2"
      flock "$partial_lock" || return "$write_failed"
    fi
    # The one before may have renamed or removed what was locked here.
    [[ ! $partial -ef /proc/self/fd/$partial_lock ]] || return 0
    exec {partial_lock}>&-
  done
}

# publish PATH: PATH.partial becomes PATH.
publish() {
  if ! sync "$1.partial" || ! mv -T "$1.partial" "$1"; then
    abandon "$1"
    complain "$1: cannot write"
    return "$write_failed"
  fi
  sync "${1%/*}" || true
  exec {partial_lock}>&-
}

# abandon PATH: no PATH.partial remains.
abandon() {
  rm -rf "$1.partial"
  exec {partial_lock}>&-
}
