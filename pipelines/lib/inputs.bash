# Finds models and autoencoders. To be sourced.
# shellcheck shell=bash

hub_cache=${HF_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/huggingface}/hub}

# hub_folder NAME: the folder that NAME means, or the snapshot of that hub id in the local cache; fails without a word.
hub_folder() {
  local repository revision
  if [[ -d $1 ]]; then
    printf '%s\n' "$1"
    return
  fi
  [[ $1 =~ ^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)?$ ]] || return 1
  repository=$hub_cache/models--${1//\//--}
  revision=$(tr -cd 0-9a-f 2> /dev/null < "$repository/refs/main") || return 1
  [[ -n $revision && -d $repository/snapshots/$revision ]] || return 1
  printf '%s\n' "$repository/snapshots/$revision"
}

# autoencoder_path PATTERN LAYER: where the layer's autoencoder lies, if it does; the hub's cache is looked at too.
autoencoder_path() {
  local path=${1//'{layer}'/$2} repository
  if [[ ! -e $path && $path =~ ^([^./][^/]*/[^/]+)(/.*)?$ ]]; then
    repository=$(hub_folder "${BASH_REMATCH[1]}") && path=$repository${BASH_REMATCH[2]}
  fi
  [[ -n $(autoencoder_files "$path") ]] || return 1
  printf '%s\n' "$path"
}

# autoencoder_files PATH: the files of tensors and settings of one autoencoder; nothing where it has no tensors.
autoencoder_files() {
  local file
  local -a tensors=() settings=()
  if [[ -f $1 ]]; then
    tensors=("$1")
  else
    for file in "$1"/*.pt "$1"/*.safetensors "$1"/*.npz; do [[ ! -f $file ]] || tensors+=("$file"); done
  fi
  ((${#tensors[@]})) || return 0
  for file in "${tensors[0]%/*}"/{config,cfg}.json; do [[ ! -f $file ]] || settings+=("$file"); done
  printf '%s\n' "${tensors[@]}" "${settings[@]}"
}
