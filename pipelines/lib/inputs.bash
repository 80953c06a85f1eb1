# Finds models, text and autoencoders, and tells by hashes which they are. To be sourced.
# shellcheck shell=bash

# Where pipelines/fetch puts WikiText-2's raw training split.
default_text=${GRADIENT_FILTERS_DATA:-${HOME:-}/.cache/gradient-filters}/wikitext-2-raw/wiki.train.raw

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

# find_autoencoders LAYER…: prints the pattern of the autoencoders that a training with dictionary_learning has left
# below this folder, whatever hidden folder its demo has put them in, and wherever links lead.
find_autoencoders() {
  local layer folder
  local -A roots=()
  while IFS= read -r folder; do
    for layer; do
      [[ $folder != */mlp_out_layer_"$layer"/trainer_0 ]] || roots[${folder%/mlp_out_layer_*}]=1
    done
  done < <(find -L . -maxdepth 6 \( -name .git -o -name '.build*' -o -name node_modules \) -prune -o \
    -type d -path '*/mlp_out_layer_*/trainer_0' -print 2> /dev/null)
  case ${#roots[@]} in
    0) fail $cannot_open "no autoencoders: none at */mlp_out_layer_{layer}/trainer_0 below $PWD; use --sae PATTERN" ;;
    1) ;;
    *)
      complain "several sets of autoencoders below $PWD; choose one by --sae:"
      for folder in "${!roots[@]}"; do tell "  --sae '$folder/mlp_out_layer_{layer}/trainer_0'"; done
      exit $usage_error
      ;;
  esac
  folder="${!roots[*]}"
  printf '%s\n' "${folder#./}/mlp_out_layer_{layer}/trainer_0"
}

# model_files FOLDER, tokenizer_files FOLDER: the files that determine what they compute.
model_files() { list_files "$1"/config.json "$1"/model*.safetensors "$1"/model.safetensors.index.json; }
tokenizer_files() { list_files "$1"/{tokenizer.json,vocab.json,merges.txt,tokenizer_config.json,added_tokens.json}; }

list_files() {
  local file
  for file; do [[ ! -f $file ]] || printf '%s\n' "$file"; done
}

# The SHA-256 of files by path. Hashes are kept with what stat says in the file `hash_memory`, where that is set.
declare -A hash_of=()
hash_memory=

# learn_hashes FILE…: fills hash_of.
learn_hashes() {
  local file real state hash line
  local -a unknown=()
  local -A known=()
  if [[ -n $hash_memory && -f $hash_memory ]]; then
    while IFS= read -r line; do
      # A run that was killed may have left half a line.
      [[ ! $line =~ ^([0-9a-f]{64})\ ([0-9.:]+)$ ]] || known[${BASH_REMATCH[2]}]=${BASH_REMATCH[1]}
    done < "$hash_memory"
  fi
  for file; do
    [[ ! -v hash_of[$file] ]] || continue
    real=$(readlink -f -- "$file")
    # The hub's cache names the large files by their SHA-256.
    if [[ $real =~ /blobs/([0-9a-f]{64})$ ]]; then
      hash_of[$file]=${BASH_REMATCH[1]}
      continue
    fi
    state=$(stat -c '%d:%i:%s:%.9Y:%.9Z' -- "$real")
    if [[ -v known[$state] ]]; then hash_of[$file]=${known[$state]}; else unknown+=("$file"); fi
  done
  ((${#unknown[@]})) || return 0
  [[ -z $hash_memory ]] || notify stage "reading ${#unknown[@]} input files for their hashes" 1
  while read -r line hash; do
    file=${unknown[line]}
    hash_of[$file]=$hash
    [[ -z $hash_memory ]] || printf '%s %s\n' "$hash" "$(stat -Lc '%d:%i:%s:%.9Y:%.9Z' -- "$file")" \
      2> /dev/null >> "$hash_memory" || true
  done < <(
    # shellcheck disable=SC2016
    for line in "${!unknown[@]}"; do printf '%s\0%s\0' "$line" "${unknown[line]}"; done |
      xargs -0 -n 2 -P "$(available_cores)" sh -c 'h=$(sha256sum < "$2") && echo "$1 ${h%% *}"' sh
  )
  for file in "${unknown[@]}"; do
    [[ -v hash_of[$file] ]] || fail $cannot_open "$file: cannot read"
  done
}

# hashes FILE…: the hashes of files that learn_hashes knows, by their names without folders.
hashes() {
  local file
  for file; do printf '%s=%s\n' "${file##*/}" "${hash_of[$file]}"; done
}

# key_of WORD…: 16 digits that tell these words from others.
key_of() {
  local hash
  hash=$(printf '%s\n' "$@" | sha256sum)
  echo "${hash:0:16}"
}
