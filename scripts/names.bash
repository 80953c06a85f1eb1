# What is installed, and under which names. To be sourced.
# shellcheck shell=bash

# shellcheck disable=SC2034
program_names=(wt-tokenize qwen-capture act-grad sae-grad sae-effect grad-aggregate grad-plot grad-table grad-contexts grad-report stream-info gradient-run)

# installed_pipelines ROOT: the pipelines that people call, a tab, and the name on their PATH: their own where it says
# what they are for, else with the package's name before it. The demo needs this folder's data and is not installed.
installed_pipelines() {
  local file name
  for file in "$1"/pipelines/*; do
    name=${file##*/}
    [[ -f $file && -x $file && $name != demo ]] || continue
    case $name in
      *gradient*) printf '%s\t%s\n' "$name" "$name" ;;
      *) printf '%s\tgradient-filters-%s\n' "$name" "$name" ;;
    esac
  done
}

# packaged_pipelines ROOT: those and the demo, which a package brings with its model.
packaged_pipelines() { installed_pipelines "$1" && printf 'demo\tgradient-filters-demo\n'; }

# linked_archives: what of the distribution's libraries a program in one file holds.
linked_archives() {
  printf 'lib%s.a\n' cairo pixman-1 fontconfig freetype expat png16 png brotlidec brotlicommon z deflate zstd xxhash \
    pcre2-8 stdc++
}
