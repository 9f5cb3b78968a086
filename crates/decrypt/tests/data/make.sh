#!/usr/bin/env bash
# Makes the vectors of this folder: a clip of two seconds that Shaka's packager 3.4.2 (npm package shaka-packager)
# encrypts in every scheme with a known key, and the same without encryption. Sources by ffmpeg 5.1.
#
#     PACKAGER=.../shaka-packager/bin/packager-linux-x64 crates/decrypt/tests/data/make.sh
set -euo pipefail
cd "$(dirname "$0")"
: "${PACKAGER:?the path of the packager}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ff() { ffmpeg -hide_banner -loglevel error -nostdin -y "$@"; }
kid=eb676abbcb345e96bbcf616630f1a3da
key=100b6c20940f779a4589152b57d2dacb
iv=d5fbd6b82ed93e4ef98ae40931ee33b7

# Noise of which one slice needs emulation prevention, so that in MPEG-TS it has it twice; two slices a frame and a
# key frame in the middle.
ff -f lavfi -i "color=gray:size=80x48:rate=6:duration=2,noise=alls=100:allf=t:all_seed=5" -c:v libx264 -profile:v high -threads 1 \
    -preset medium -pix_fmt yuv420p -b:v 40k -g 6 -bf 1 -sc_threshold 0 -x264-params "slices=2:threads=1" "$work/video.mp4"
tone="sine=frequency=440:sample_rate=48000:duration=0.4"
ff -f lavfi -i "$tone" -c:a aac -ac 1 -b:a 48k "$work/aac.mp4"
ff -f lavfi -i "$tone" -c:a ac3 -ac 1 -b:a 64k "$work/ac3.mp4"
ff -f lavfi -i "$tone" -c:a eac3 -ac 1 -b:a 64k "$work/eac3.mp4"

pack() { # arguments of the packager
    "$PACKAGER" --quiet --transport_stream_timestamp_offset_ms 1000 "$@" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}
protect=(--enable_raw_key_encryption --keys "label=:key_id=$kid:key=$key" --iv "$iv" --clear_lead 0)

# MPEG-TS and packed audio. The packager has one segment here, number 1.
stream() { # name, extension, arguments
    local name=$1 extension=$2 source=$1
    shift 2
    for form in clear sealed; do
        local more=()
        [ $form = sealed ] && more=("${protect[@]}" --protection_scheme cbcs)
        local kind=audio
        [ "$source" = video ] && kind=video
        pack "in=$work/$source.mp4,stream=$kind,segment_template=$work/\$Number\$.$extension" --segment_duration 10 "${more[@]}"
        cp "$work/1.$extension" "$name-$form.$extension"
    done
}
for name in video aac ac3 eac3; do stream $name ts; done
stream aac aac
stream ac3 ac3
stream eac3 ec3

# Fragmented MP4: one file each, of which the first part is the initialization section.
for kind in video audio; do
    source=$kind
    [ $kind = audio ] && source=aac
    pack "in=$work/$source.mp4,stream=$kind,output=clear-$kind.mp4" --fragment_duration 1 --segment_duration 1
    for scheme in cenc cens cbc1 cbcs; do
        pack "in=$work/$source.mp4,stream=$kind,output=$scheme-$kind.mp4" --fragment_duration 1 --segment_duration 1 \
            "${protect[@]/$iv/${iv:0:$([ $scheme = cenc ] && echo 16 || echo 32)}}" --protection_scheme $scheme
    done
done
# A clear lead has a sample entry of its own, and rotating keys are told by seig sample groups.
pack "in=$work/video.mp4,stream=video,output=lead-video.mp4" --fragment_duration 1 --segment_duration 1 \
    --enable_raw_key_encryption --keys "label=:key_id=$kid:key=$key" --iv "$iv" --clear_lead 1 --protection_scheme cbcs
pack "in=$work/video.mp4,stream=video,init_segment=$work/init.mp4,segment_template=$work/r\$Number\$.mp4" \
    --segment_duration 1 "${protect[@]}" --protection_scheme cbcs --crypto_period_duration 1
cat "$work/init.mp4" "$work"/r1.mp4 "$work"/r2.mp4 > rotated-video.mp4

# Keys of rotated-video.mp4: with each crypto period the packager turns the key and its identifier by a byte.
turn() { echo "${1:$((2 * $2))}${1:0:$((2 * $2))}"; }
{
    echo "# keys of rotated-video.mp4"
    for n in {0..15}; do echo "$(turn $kid $n):$(turn $key $n)"; done
} > rotated-keys.txt

# Fourteen packets of MPEG-TS without a meaning, in AES-256-CBC, in AES-256-CTR, in AES-128-ECB, and in ChaCha20 that begins again every 1024 bytes.
long=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
{
    for n in {0..13}; do
        printf "G\\x$(printf %02x "$n")"
        head -c 186 /dev/zero | tr '\0' Z
    done
} > packets.ts
openssl enc -aes-256-cbc -K $long -iv $iv -in packets.ts -out cbc-256.bin
openssl enc -aes-256-ctr -K $long -iv $iv -in packets.ts -out ctr.bin
openssl enc -aes-128-ecb -K $key -in packets.ts -out ecb.bin
split -b 1024 packets.ts "$work/piece."
for piece in "$work"/piece.*; do
    openssl enc -chacha20 -K $long -iv 00000000000000000102030405060708 -in "$piece"
done > chacha20.bin

# The same packets in AES-256-GCM: the IV, the ciphertext, the authentication tag (Python's package cryptography).
python3 - $long $iv <<'PYTHON'
import sys
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
key, iv = map(bytes.fromhex, sys.argv[1:])
with open("packets.ts", "rb") as clear, open("gcm.bin", "wb") as sealed:
    sealed.write(iv + AESGCM(key).encrypt(iv, clear.read(), None))
PYTHON

# A progressive MP4 of both tracks, encrypted by ffmpeg, and the same without encryption.
for form in clear sealed; do
    more=()
    [ $form = sealed ] && more=(-encryption_scheme cenc-aes-ctr -encryption_key $key -encryption_kid $kid)
    ff -i clear-video.mp4 -i clear-audio.mp4 -map 0 -map 1 -c copy -map_metadata -1 -fflags +bitexact -movflags +faststart \
        "${more[@]}" progressive-$form.mp4
done
