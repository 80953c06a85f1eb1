# Where the Hugging Face hub's tools keep what they download. Sourced by pipelines, as Sources/HubCache is by programs:
# both must look in the same places.
# shellcheck shell=bash

# The cache's folder.
hub_cache() {
  if [[ -n ${HF_HUB_CACHE:-} ]]; then
    printf '%s\n' "$HF_HUB_CACHE"
  elif [[ -n ${HF_HOME:-} ]]; then
    printf '%s\n' "$HF_HOME/hub"
  else
    printf '%s\n' "${XDG_CACHE_HOME:-${HOME:-}/.cache}/huggingface/hub"
  fi
}

# hub_repository TYPE ID: the folder of one repository; TYPE is model or dataset.
hub_repository() {
  printf '%s/%ss--%s\n' "$(hub_cache)" "$1" "${2//\//--}"
}

# hub_snapshot TYPE ID [REVISION]: the folder of the files at that revision; fails where there is none.
hub_snapshot() {
  local repository commit=${3:-main}
  repository=$(hub_repository "$1" "$2")
  if [[ -f $repository/refs/$commit ]]; then commit=$(<"$repository/refs/$commit"); fi
  [[ -n $commit && -d $repository/snapshots/$commit ]] || return 1
  printf '%s\n' "$repository/snapshots/$commit"
}

# model_folder NAME: a folder as it is, or a hub id's snapshot; fails where there is neither.
model_folder() {
  if [[ -d $1 ]]; then
    printf '%s\n' "$1"
  else
    hub_snapshot model "$1"
  fi
}
