#!/usr/bin/env bash
# Makes the model that ships, from nothing: corpus, codec, speech encoder, prior, dual-track model, file in half
# precision. Stopped, it goes on where it was when it is called again. About eight hours on two processor cores.
#
#   bash scripts/train_live.sh FOLDER [HOURS OF CORPUS, default 12] [SEED, default 0] [ARGUMENTS FOR EACH TRAINING]
#
# With `--set steps=20` behind the seed it is tried out in minutes.
set -euo pipefail
folder=${1:?usage: train_live.sh FOLDER [HOURS] [SEED] [ARGUMENTS]}
hours=${2:-12}
seed=${3:-0}
shift $(($# < 3 ? $# : 3))
more=("$@")
root=$(cd "$(dirname "$0")/.." && pwd)
cargo build --release --manifest-path "$root/Cargo.toml" -p unils-cli
unils="${CARGO_TARGET_DIR:-$root/target}/release/unils"
mkdir -p "$folder"

"$unils" corpus build --hours "$hours" --seed "$seed" -o "$folder/corpus"

# stage NAME RUN ARGUMENTS: begins a training, or goes on with it.
stage() {
    local name=$1 run=$folder/$2
    shift 2
    if [ -f "$run/run.toml" ]; then
        "$unils" train "$name" --out "$run" --resume
    else
        "$unils" train "$name" --preset live --data "$folder/corpus" --out "$run" --seed "$seed" "$@" "${more[@]}"
    fi
}
stage codec codec
stage speech speech
stage audio_free prior --from "$folder/codec"
stage dual_track dual --from "$folder/prior" --encoder "$folder/speech"

"$unils" convert "$folder/dual/best.safetensors" "$folder/live.safetensors" --half
echo "made $folder/live.safetensors: unils animate talk.wav -o talk.mp4 --checkpoint $folder/live.safetensors"
