#!/usr/bin/env bash
# Makes examples/conversation.flac: two synthesised voices, a speaker a channel, with an overlap and short
# acknowledgements. Needs espeak-ng, flite, sox and flac.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Places one utterance: <track> <start in seconds> <text>. Track a is flite's slt, track b an espeak-ng voice.
count=0
say() {
    local track=$1 start=$2 text=$3 file
    count=$((count + 1))
    file=$work/$track-$(printf %02d "$count").wav
    case $track in
        a) flite -voice slt -t "$text" -o "$work/raw.wav" ;;
        b) espeak-ng -v en-us+m3 -s 160 -p 42 -w "$work/raw.wav" "$text" ;;
    esac
    sox "$work/raw.wav" -r 16000 -c 1 "$file" norm -6 pad "$start" 0
}

say a 0.4 "Hi! Did you manage to look at the plans for the small theatre?"
say b 4.2 "I did. The stage is lovely, but the lights worry me a little."
say a 7.6 "Mm-hm."
say b 8.6 "They hang so low that half of the balcony would not see the actors' faces."
say a 11.4 "Oh, really?"
say b 13.3 "Yes. So I moved them up by two metres, and now it works."
say a 16.1 "Wonderful. And the budget, does it still"
say b 17.9 "It does, do not worry."
say a 19.8 "Good. Then we can open in spring, before the festival."
say b 21.6 "Right."
say b 23.2 "Perfect. Let us call them tomorrow."

for track in a b; do
    sox -m -v 1 "$work/$track"-*.wav -r 16000 -c 1 "$work/$track.wav" pad 0 1 trim 0 26
done
# A faint floor of noise: synthesisers are digitally silent between utterances, microphones are not.
sox -M "$work/a.wav" "$work/b.wav" "$work/voices.wav" pad 0 1 trim 0 26
sox -R -n -r 16000 -c 2 "$work/noise.wav" synth 26 pinknoise vol 0.001
sox -D -m -v 1 "$work/voices.wav" -v 1 "$work/noise.wav" -b 16 "$work/mix.wav"
flac --silent --force --best --no-padding -o examples/conversation.flac "$work/mix.wav"
