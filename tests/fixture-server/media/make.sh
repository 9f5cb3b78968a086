#!/usr/bin/env bash
# Makes the clip of this folder: synthetic picture and sound, encoded once, packaged in every way the
# fixture server needs, so that it can serve, cut and encrypt without ffmpeg. Written with ffmpeg 5.1.
#
#     tests/fixture-server/media/make.sh        # replaces everything beside this script but itself
#
# Digests in tests compare outputs with these very files, so a rerun needs no other change.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seconds=12
ff() { ffmpeg -hide_banner -loglevel error -nostdin -y "$@"; }

# H.264 High with two B-frames, closed GOPs of 2 s: a key frame opens every segment.
video() { # name, size, bit rate
    ff -f lavfi -i "testsrc2=size=$2:rate=24:duration=$seconds" -an \
        -c:v libx264 -profile:v high -preset slower -threads 1 -pix_fmt yuv420p \
        -b:v "$3" -maxrate "$3" -bufsize "$3" -bf 2 -g 48 -keyint_min 48 -sc_threshold 0 -flags +cgop \
        -x264-params "open-gop=0:b-adapt=0" -fflags +bitexact -flags:v +bitexact "$work/$1.mp4"
}
# Stereo AAC at 48 kHz; left and right, main and alternative differ in pitch.
audio() { # name, left Hz, right Hz
    ff -f lavfi -i "aevalsrc='0.3*sin(2*PI*$2*t)*(0.6+0.4*sin(2*PI*t))|0.3*sin(2*PI*$3*t)':s=48000:d=$seconds" \
        -c:a aac -profile:a aac_low -b:a 32k -fflags +bitexact -flags:a +bitexact "$work/$1.m4a"
}
# Arguments after the folder and kind are ffmpeg's inputs and maps.
package() { # folder, ts|m4s, ffmpeg arguments...
    local folder=$1 kind=$2 type=mpegts bsf=()
    shift 2
    [ "$kind" = m4s ] && type=fmp4 && bsf=(-bsf:a aac_adtstoasc)
    rm -rf "$folder"
    mkdir -p "$folder"
    ff "$@" -c copy "${bsf[@]}" -fflags +bitexact -f hls -hls_time 2 -hls_list_size 0 -hls_segment_type "$type" \
        -hls_fmp4_init_filename init.mp4 -hls_segment_filename "$folder/%d.$kind" "$folder/index.m3u8"
    [ "$kind" = ts ] || [ -e "$folder/init.mp4" ] || mv init.mp4 "$folder/"
}

video high 320x180 64k
video low 160x90 24k
audio main 440 660
audio alt 880 1320

for quality in high low; do
    av=(-i "$work/$quality.mp4" -i "$work/main.m4a" -map 0:v -map 1:a)
    package $quality-ts ts "${av[@]}"
    package $quality-fmp4 m4s "${av[@]}"
done
package video-ts ts -i "$work/high.mp4"
package video-fmp4 m4s -i "$work/high.mp4"
for sound in main alt; do
    package $sound-audio-ts ts -i "$work/$sound.m4a"
    package $sound-audio-fmp4 m4s -i "$work/$sound.m4a"
done
ff -i "$work/high.mp4" -i "$work/main.m4a" -map 0:v -map 1:a -c copy -movflags +faststart -fflags +bitexact film.mp4

# A list of pictures.
rm -rf pictures
mkdir pictures
ff -i "$work/low.mp4" -vf fps=1/3 -q:v 12 -fflags +bitexact -flags:v +bitexact pictures/%d.jpg

# WebVTT in segments of 4 s. The muxer's clock starts at 1.4 s plus the B-frame delay of the first picture:
# the map names the time stamp of that first picture.
first=$(ffprobe -v error -select_streams v -show_entries packet=pts -of csv=p=0 high-ts/0.ts | grep -o "[0-9]\+" | sort -n | head -1)
rm -rf subs-en
mkdir subs-en
number=0
for segment in 0 1 2; do
    {
        printf 'WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:%s,LOCAL:00:00:00.000\n' "$first"
        for word in "${segment}a one" "${segment}b <i>two</i> & three"; do
            start=$((number * 2))
            printf '\n00:00:%02d.250 --> 00:00:%02d.750\n%s\n' "$start" "$((start + 1))" "${word//&/&amp;}"
            number=$((number + 1))
        done
    } >subs-en/$segment.vtt
done

# The same cues in fragmented MP4, if Shaka's packager 3.4.2 (npm package shaka-packager) is given as PACKAGER: as WebVTT
# (wvtt), and as TTML (stpp) whose documents are then replaced by ones with more in them, which also stand by themselves.
if [ -n "${PACKAGER:-}" ]; then
    rm -rf subs-wvtt subs-stpp subs-ttml
    mkdir subs-wvtt subs-stpp subs-ttml
    { echo WEBVTT; for segment in 0 1 2; do tail -n +3 subs-en/$segment.vtt; done; } >"$work/all.vtt"
    for kind in "vtt wvtt" "ttml stpp"; do
        set -- $kind
        "$PACKAGER" --quiet --segment_duration 4 "in=$work/all.vtt,stream=text,format=$1+mp4,lang=en,init_segment=subs-$2/init.mp4,segment_template=subs-$2/\$Number\$.m4s"
        for number in 1 2 3; do mv "subs-$2/$number.m4s" "subs-$2/$((number - 1)).m4s"; done
    done
    python3 - <<'PYTHON'
import struct
head = """<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:tts="http://www.w3.org/ns/ttml#styling" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"
    xml:lang="en" ttp:tickRate="1000"><head><styling><style xml:id="it" tts:fontStyle="italic"/></styling></head>
<body><div begin="%ds">
    <p begin="0.25s" dur="1500t">%da one</p>
    <p begin="2250t" end="00:00:03.750">%db <span style="it">two</span> &amp; three</p>
</div></body></tt>
"""
for number in range(3):
    document = (head % (number * 4, number, number)).encode()
    open(f"subs-ttml/{number}.ttml", "wb").write(document)
    path = f"subs-stpp/{number}.m4s"
    segment = open(path, "rb").read()
    at = segment.index(b"mdat") - 4
    front, size = segment[:at], struct.unpack(">I", segment[at : at + 4])[0]
    # The one sample's size, in tfhd, and what sidx says of the fragment's.
    tfhd = front.index(b"tfhd")
    old = struct.pack(">I", size - 8)
    front = front[:tfhd] + front[tfhd:].replace(old, struct.pack(">I", len(document)), 1)
    moof = front.index(b"moof") - 4
    whole = struct.pack(">I", at - moof + size)
    front = front.replace(whole, struct.pack(">I", at - moof + 8 + len(document)), 1)
    open(path, "wb").write(front + struct.pack(">I", 8 + len(document)) + b"mdat" + document)
PYTHON
fi

# The same cues as closed captions (CTA-608-E, ATSC A/53), pop-on in CC1, beside roll-up captions in CC3: a pair of bytes for
# each field in a SEI message before each picture. In H.264 it is x264 that puts them into pictures which are reordered.
small() { # ffmpeg arguments...
    ff -f lavfi -i "testsrc2=size=64x48:rate=24:duration=$seconds" -an -pix_fmt yuv420p -fflags +bitexact -flags:v +bitexact "$@"
}
h264=(-c:v libx264 -preset slower -threads 1 -g 48 -keyint_min 48 -sc_threshold 0 -crf 40)
small "${h264[@]}" -bf 0 -f h264 "$work/plain.h264"
small -c:v libx265 -x265-params "log-level=none:pools=1:frame-threads=1:info=0:keyint=48:min-keyint=48:scenecut=0:bframes=0:crf=40" \
    -f hevc "$work/plain.hevc"
for codec in h264 hevc; do
    python3 - "$codec" "$work/plain.$codec" "$work/captioned.$codec" <<'PYTHON'
import re, sys
parity = lambda byte: byte | (0 if bin(byte).count("1") % 2 else 0x80)
RCL, EOC, EDM, PAC, ITALIC, WHITE = (0x14, 0x20), (0x14, 0x2F), (0x14, 0x2C), (0x14, 0x70), (0x11, 0x2E), (0x11, 0x20)
# Of the second field (CTA-608-E 8.4 b).
RU2, CR = (0x15, 0x25), (0x15, 0x2D)
def text(words):
    codes = [ord(letter) for letter in words] + [0] * (len(words) % 2)
    return [tuple(codes[at : at + 2]) for at in range(0, len(codes), 2)]
first, second = {}, {}
for number in range(6):
    words = text(f"{number // 2}a one") if number % 2 == 0 else \
        text(f"{number // 2}b") + [ITALIC] + text("two") + [WHITE] + text("& three")
    # Across the boundary of two segments.
    start = 0 if number == 0 else 48 * number - 5
    for at, pair in enumerate([RCL, PAC] + words):
        first[start + at] = pair
    first[48 * number + 6] = EOC
    first[48 * number + 42] = EDM
    for at, pair in enumerate([RU2, CR, PAC] + text(f"Zeile {number}")):
        second[48 * number + 12 + at] = pair
codec, source, target = sys.argv[1:]
# NAL unit header of a SEI message, and whether a NAL unit is a picture.
header, is_picture = {
    "h264": (b"\x06", lambda unit: unit[0] & 31 in (1, 5)),
    "hevc": (b"\x4e\x01", lambda unit: unit[0] >> 1 & 63 < 32),
}[codec]
out, picture = b"", 0
for unit in re.split(rb"\x00?\x00\x00\x01", open(source, "rb").read())[1:]:
    if is_picture(unit):
        pairs = [bytes(parity(byte) for byte in field.get(picture, (0, 0))) for field in (first, second)]
        out += b"\0\0\0\1" + header + b"\x04\x11\xb5\0\x31GA94\x03\x42\xff\xfc" + pairs[0] + b"\xfd" + pairs[1] + b"\xff\x80"
        picture += 1
    out += b"\0\0\0\1" + unit
open(target, "wb").write(out)
PYTHON
done
ff -r 24 -i "$work/captioned.h264" "${h264[@]}" -pix_fmt yuv420p -bf 2 -b_strategy 0 -flags +cgop -x264-params open-gop=0 -fflags +bitexact \
    -flags:v +bitexact "$work/captioned.mp4"
package captions-ts ts -i "$work/captioned.mp4"
package captions-fmp4 m4s -i "$work/captioned.mp4"
package captions-hevc-fmp4 m4s -r 24 -i "$work/captioned.hevc" -tag:v hvc1

# What `openssl`, not our code, makes of a segment: vectors for the encryption that the server does itself.
key=000102030405060708090a0b0c0d0e0f
encrypt() { openssl enc -aes-128-cbc -K $key -iv "$1" -in "$2" | sha256sum | cut -d' ' -f1; }
{
    echo "{"
    echo "  \"key\": \"$key\","
    echo "  \"high-ts/0.ts, iv ff0102030405060708090a0b0c0d0e0f\": \"$(encrypt ff0102030405060708090a0b0c0d0e0f high-ts/0.ts)\","
    echo "  \"high-ts/1.ts, msn 41\": \"$(encrypt 00000000000000000000000000000029 high-ts/1.ts)\","
    echo "  \"high-fmp4/init.mp4, iv ff0102030405060708090a0b0c0d0e0f\": \"$(encrypt ff0102030405060708090a0b0c0d0e0f high-fmp4/init.mp4)\""
    echo "}"
} >openssl.json
echo "$(cat $(find . -type f ! -name make.sh) | wc -c) bytes"
