//! What the extractor finds in small snippets, one rule each.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use aqueduct_resolve::extract::{Document, Extraction, FrameSource, Hint, Limits, Reason, Step, Via, extract};
use url::Url;

const PAGE: &str = "https://site.example/dir/page.html";

fn read_as(content_type: &str, text: &[u8]) -> Extraction {
    let url = Url::parse(PAGE).unwrap();
    let document = Document {
        url: &url,
        content_type: (!content_type.is_empty()).then_some(content_type),
        bytes: text,
    };
    extract(&document, &Limits::default())
}

fn read(text: &str) -> Extraction {
    read_as("text/html; charset=utf-8", text.as_bytes())
}

/// Rule, content type (empty for HTML), snippet, candidates in order, frames in order; addresses as written relative to the page.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

fn check(cases: &[Case]) {
    let base = Url::parse(PAGE).unwrap();
    let absolute = |addresses: &[&str]| {
        addresses
            .iter()
            .map(|address| base.join(address).unwrap().to_string())
            .collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    for (rule, content_type, text, candidates, frames) in cases {
        let content_type = if content_type.is_empty() { "text/html" } else { content_type };
        let found = read_as(content_type, text.as_bytes());
        let found_candidates: Vec<_> = found.candidates.iter().map(|candidate| candidate.url.to_string()).collect();
        let found_frames: Vec<_> = found
            .frames
            .iter()
            .map(|frame| match &frame.source {
                FrameSource::Url(url) => url.to_string(),
                FrameSource::Srcdoc(text) => base.join(&format!("srcdoc:{text}")).unwrap().to_string(),
            })
            .collect();
        if found_candidates != absolute(candidates) {
            wrong.push(format!("{rule}: candidates {found_candidates:?}, not {candidates:?}"));
        }
        if found_frames != absolute(frames) {
            wrong.push(format!("{rule}: frames {found_frames:?}, not {frames:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rules broken\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn markup_names_frames() {
    check(&[
        ("iframe src", "", "<iframe src=player.html></iframe>", &[], &["player.html"]),
        (
            "iframe src of another site",
            "",
            "<iframe src='//p.example/e/1'>",
            &[],
            &["//p.example/e/1"],
        ),
        (
            "iframe data-src",
            "",
            "<iframe data-src='player.html' src='about:blank'>",
            &[],
            &["player.html"],
        ),
        (
            "iframe data-lazy-src",
            "",
            "<iframe data-lazy-src='player.html'>",
            &[],
            &["player.html"],
        ),
        (
            "iframe srcdoc",
            "",
            "<iframe srcdoc='<video src=&quot;a.mp4&quot;>'>",
            &[],
            &["srcdoc:<video src=\"a.mp4\">"],
        ),
        (
            "iframe inside noscript",
            "",
            "<noscript><iframe src=player.html></iframe></noscript>",
            &[],
            &["player.html"],
        ),
        (
            "iframe inside template",
            "",
            "<template><iframe src=player.html></template>",
            &[],
            &["player.html"],
        ),
        (
            "frame of a frameset",
            "",
            "<frameset><frame src=main.html></frameset>",
            &[],
            &["main.html"],
        ),
        (
            "frame elements of frameworks",
            "",
            "<amp-iframe src='player.html'></amp-iframe>",
            &[],
            &["player.html"],
        ),
        (
            "entities in a frame's address",
            "",
            "<iframe src='p.php?a=1&amp;b=2'>",
            &[],
            &["p.php?a=1&b=2"],
        ),
        (
            "base applies before and after it",
            "",
            "<iframe src=a.html></iframe><base href='/b/'><iframe src=c.html>",
            &[],
            &["/b/a.html", "/b/c.html"],
        ),
        (
            "meta refresh",
            "",
            "<meta http-equiv=Refresh content=\"0; URL='next.html'\">",
            &[],
            &["next.html"],
        ),
        (
            "twitter:player",
            "",
            "<meta name='twitter:player' content='/embed/1'>",
            &[],
            &["/embed/1"],
        ),
        (
            "og:video without a type",
            "",
            "<meta property='og:video' content='/embed/1'>",
            &[],
            &["/embed/1"],
        ),
        (
            "og:video of type text/html",
            "",
            "<meta property='og:video' content='/e.mp4.html'><meta property='og:video:type' content='text/html'>",
            &[],
            &["/e.mp4.html"],
        ),
        (
            "microdata embedUrl",
            "",
            "<link itemprop=embedUrl href='/embed/1'>",
            &[],
            &["/embed/1"],
        ),
        (
            "object of a page",
            "",
            "<object data='player.html' type='text/html'></object>",
            &[],
            &["player.html"],
        ),
        ("embed of a page", "", "<embed src='/embed/9'>", &[], &["/embed/9"]),
        (
            "a link that opens a player over the page",
            "",
            "<a class='popup-video' href='/embed/video/7'>",
            &[],
            &["/embed/video/7"],
        ),
        (
            "oEmbed",
            "",
            "<link rel=alternate type='application/json+oembed' href='/oembed?u=1'>",
            &[],
            &["/oembed?u=1"],
        ),
        (
            "data-embed-url of any element",
            "",
            "<div data-embed-url='/embed/1'></div>",
            &[],
            &["/embed/1"],
        ),
        (
            "data-iframe-src of any element",
            "",
            "<div data-iframe-src='/embed/1'></div>",
            &[],
            &["/embed/1"],
        ),
        (
            "markup in an attribute",
            "",
            "<div data-html='&lt;iframe src=&quot;/p.html&quot;&gt;'></div>",
            &[],
            &["/p.html"],
        ),
        (
            "unlikely frames come last",
            "",
            "<iframe src='https://www.googletagmanager.com/ns.html'></iframe><iframe src='player.html'>",
            &[],
            &["player.html", "https://www.googletagmanager.com/ns.html"],
        ),
        (
            "neither script addresses nor blank pages",
            "",
            "<iframe src='javascript:void(0)'></iframe><iframe src='about:blank'></iframe><iframe src='#x'></iframe>",
            &[],
            &[],
        ),
    ]);
}

#[test]
fn scripts_build_frames() {
    check(&[
        (
            "document.write",
            "",
            "<script>document.write('<iframe src=\"/p.html\"></iframe>')</script>",
            &[],
            &["/p.html"],
        ),
        (
            "document.write of escaped markup",
            "",
            "<script>document.write('\\x3Ciframe src=\\x22/p.html\\x22\\x3E')</script>",
            &[],
            &["/p.html"],
        ),
        (
            "document.write(unescape())",
            "",
            "<script>document.write(unescape('%3Ciframe%20src%3D%22/p.html%22%3E'))</script>",
            &[],
            &["/p.html"],
        ),
        (
            "innerHTML with a joined address",
            "",
            "<script>el.innerHTML = '<iframe src=\"' + '/p' + '.html' + '\">';</script>",
            &[],
            &["/p.html"],
        ),
        (
            "innerHTML with a variable",
            "",
            "<script>var u = '/p.html'; el.innerHTML = `<iframe src=\"${u}\"></iframe>`</script>",
            &[],
            &["/p.html"],
        ),
        (
            "createElement('iframe')",
            "",
            "<script>var f = document.createElement('iframe'); f.src = '/p/1'; b.append(f)</script>",
            &[],
            &["/p/1"],
        ),
        (
            "setAttribute on a frame",
            "",
            "<script>iframe.setAttribute('src', '/p/1')</script>",
            &[],
            &["/p/1"],
        ),
        (
            "a key of a frame",
            "",
            "<script>var c = {iframeUrl: '/p/1'}</script>",
            &[],
            &["/p/1"],
        ),
        (
            "location.href",
            "",
            "<script>window.location.href = '/watch/2'</script>",
            &[],
            &["/watch/2"],
        ),
        (
            "location.replace",
            "",
            "<script>location.replace('/watch/2')</script>",
            &[],
            &["/watch/2"],
        ),
        (
            "fetch",
            "",
            "<script>fetch('/api/video/3').then(play)</script>",
            &[],
            &["/api/video/3"],
        ),
        (
            "getJSON",
            "",
            "<script>$.getJSON('/api/video/3.json', f)</script>",
            &[],
            &["/api/video/3.json"],
        ),
        (
            "XMLHttpRequest",
            "",
            "<script>x.open('GET', '/api/video/3')</script>",
            &[],
            &["/api/video/3"],
        ),
        (
            "ajax with an object",
            "",
            "<script>$.ajax({url: '/api/video/3', success: f})</script>",
            &[],
            &["/api/video/3"],
        ),
    ]);
}

#[test]
fn markup_names_candidates() {
    check(&[
        ("video src", "", "<video src=film.mp4>", &["film.mp4"], &[]),
        ("video src without extension", "", "<video src=/stream/12>", &["/stream/12"], &[]),
        ("video data-src", "", "<video data-src=film.mp4>", &["film.mp4"], &[]),
        ("audio src", "", "<audio src=talk.mp3>", &["talk.mp3"], &[]),
        (
            "source, best first by kind",
            "",
            "<video><source src=a.mp4><source src=a.mpd><source src=a.m3u8></video>",
            &["a.m3u8", "a.mpd", "a.mp4"],
            &[],
        ),
        (
            "source type tells what the name does not",
            "",
            "<video><source src=a.mp4><source src=/h/1 type='application/vnd.apple.mpegurl'></video>",
            &["/h/1", "a.mp4"],
            &[],
        ),
        (
            "source sizes, largest first",
            "",
            "<video><source src=l.mp4 size=480><source src=h.mp4 size=1080><source src=m.mp4 label=720p></video>",
            &["h.mp4", "m.mp4", "l.mp4"],
            &[],
        ),
        (
            "two videos keep their order",
            "",
            "<video src=a.mp4></video><video src=b.mp4></video>",
            &["a.mp4", "b.mp4"],
            &[],
        ),
        (
            "a picture's source is none",
            "",
            "<picture><source srcset=a.webp type=image/webp></picture>",
            &[],
            &[],
        ),
        (
            "tracks and posters are none",
            "",
            "<video src=a.mp4 poster=p.jpg><track src=a.vtt></video>",
            &["a.mp4"],
            &[],
        ),
        ("a link to a playlist", "", "<a href='film.m3u8'>", &["film.m3u8"], &[]),
        ("a link to a media file", "", "<a href='film.mp4?dl=1'>", &["film.mp4?dl=1"], &[]),
        (
            "a link elsewhere is none",
            "",
            "<a href='/about'><a href='mailto:a@b.c'><a href='x.pdf'>",
            &[],
            &[],
        ),
        (
            "preload",
            "",
            "<link rel=preload as=fetch href='/v/master.m3u8'>",
            &["/v/master.m3u8"],
            &[],
        ),
        (
            "og:video of a media type",
            "",
            "<meta property='og:video' content='/v/1'><meta property='og:video:type' content='application/x-mpegURL'>",
            &["/v/1"],
            &[],
        ),
        (
            "og:video:url of a file",
            "",
            "<meta property='og:video:url' content='/v/1.mp4'>",
            &["/v/1.mp4"],
            &[],
        ),
        (
            "twitter:player:stream",
            "",
            "<meta name='twitter:player:stream' content='/v/1.mp4'>",
            &["/v/1.mp4"],
            &[],
        ),
        (
            "microdata contentUrl",
            "",
            "<meta itemprop=contentUrl content='/v/1.mp4'>",
            &["/v/1.mp4"],
            &[],
        ),
        (
            "object and param",
            "",
            "<object><param name=flashvars value='file=%2Fv%2F1.m3u8&amp;image=a.jpg'></object>",
            &["/v/1.m3u8"],
            &[],
        ),
        ("embed of a file", "", "<embed src=film.mp4>", &["film.mp4"], &[]),
        (
            "data attribute with an extension",
            "",
            "<div data-anything='/v/1.m3u8'></div>",
            &["/v/1.m3u8"],
            &[],
        ),
        (
            "data attribute of a player's name",
            "",
            "<div data-stream-url='/v/1'></div>",
            &["/v/1"],
            &[],
        ),
        (
            "data attribute with JSON",
            "",
            "<div data-config='{&quot;file&quot;:&quot;/v/1.m3u8&quot;}'></div>",
            &["/v/1.m3u8"],
            &[],
        ),
        (
            "data attribute with percent-encoded JSON",
            "",
            "<div data-config='%7B%22file%22%3A%22%2Fv%2F1.m3u8%22%7D'></div>",
            &["/v/1.m3u8"],
            &[],
        ),
        (
            "data attribute with base64",
            "",
            "<div data-x='aHR0cHM6Ly9jLmV4YW1wbGUvYS5tM3U4'></div>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "data attribute with base64 JSON",
            "",
            "<div data-x='eyJmaWxlIjoiL3YvMS5tM3U4In0='></div>",
            &["/v/1.m3u8"],
            &[],
        ),
        (
            "data-setup",
            "",
            "<video data-setup='{\"sources\":[{\"src\":\"/v/1\",\"type\":\"application/x-mpegURL\"}]}'></video>",
            &["/v/1"],
            &[],
        ),
        (
            "a picture's data-src is none",
            "",
            "<img data-src='/i/1'><div data-src='/i/2'></div>",
            &[],
            &[],
        ),
        ("elements of players", "", "<hls-video src='/v/1'></hls-video>", &["/v/1"], &[]),
        (
            "bound attributes",
            "",
            "<video-player :sources='[{\"src\":\"/v/1.m3u8\"}]'></video-player>",
            &["/v/1.m3u8"],
            &[],
        ),
        ("handlers", "", "<button onclick=\"play('/v/1.m3u8')\">", &["/v/1.m3u8"], &[]),
        ("hidden inputs", "", "<input type=hidden value='/v/1.m3u8'>", &["/v/1.m3u8"], &[]),
        (
            "an address in the query of a frame",
            "",
            "<iframe src='p.html?src=https%3A%2F%2Fc.example%2Fa.m3u8'>",
            &["https://c.example/a.m3u8"],
            &["p.html?src=https%3A%2F%2Fc.example%2Fa.m3u8"],
        ),
        (
            "an address in the text",
            "",
            "<p>Open https://c.example/a.m3u8, or not.",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "feeds",
            "text/xml",
            "<rss><enclosure url='http://c.example/a.mp3' type='audio/mpeg'/></rss>",
            &["http://c.example/a.mp3"],
            &[],
        ),
        (
            "elements of feeds",
            "text/xml",
            "<?xml version='1.0'?><item><location><![CDATA[http://c.example/a.m3u8]]></location></item>",
            &["http://c.example/a.m3u8"],
            &[],
        ),
        (
            "a playlist by data:",
            "",
            "<video src='data:application/x-mpegURL,%23EXTM3U'>",
            &["data:application/x-mpegURL,%23EXTM3U"],
            &[],
        ),
        ("duplicates go", "", "<video src=a.mp4></video><a href=a.mp4>", &["a.mp4"], &[]),
        (
            "what a fragment says is not fetched",
            "",
            "<video src='a.mp4#t=10'>",
            &["a.mp4"],
            &[],
        ),
        (
            "nothing in style and pictures",
            "",
            "<img src=a.gif><style>a{background:url(b.mp4.png)}</style>",
            &[],
            &[],
        ),
    ]);
}

#[test]
fn scripts_name_candidates() {
    check(&[
        (
            "a plain string",
            "",
            "<script>var a = 'https://c.example/a.m3u8';</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        ("a relative string", "", "<script>f('v/a.m3u8')</script>", &["v/a.m3u8"], &[]),
        ("file:", "", "<script>p.setup({file: '/v/1'})</script>", &["/v/1"], &[]),
        (
            "src: with type",
            "",
            "<script>p.src({src: '/v/1', type: 'application/x-mpegURL'})</script>",
            &["/v/1"],
            &[],
        ),
        (
            "sources: an array of objects",
            "",
            "<script>s({sources: [{file: '/v/1.mp4', label: '360p'}, {file: '/v/2.mp4', label: '720p'}]})</script>",
            &["/v/2.mp4", "/v/1.mp4"],
            &[],
        ),
        (
            "sources: an array of strings",
            "",
            "<script>s({sources: ['/v/1', '/v/2']})</script>",
            &["/v/1", "/v/2"],
            &[],
        ),
        ("hls:", "", "<script>s({hls: '/v/1', mp4: '/v/2'})</script>", &["/v/1", "/v/2"], &[]),
        ("url: in hls:", "", "<script>s({hls: {url: '/v/1'}})</script>", &["/v/1"], &[]),
        (
            "url: beside a type",
            "",
            "<script>s({url: '/v/1', mimeType: 'application/dash+xml'})</script>",
            &["/v/1"],
            &[],
        ),
        ("url: alone is none", "", "<script>s({url: '/v/1'})</script>", &[], &[]),
        ("loadSource", "", "<script>hls.loadSource('/v/1')</script>", &["/v/1"], &[]),
        ("player.src()", "", "<script>player.src('/v/1')</script>", &["/v/1"], &[]),
        ("an assignment to src", "", "<script>video.src = '/v/1';</script>", &["/v/1"], &[]),
        (
            "a variable of a telling name",
            "",
            "<script>const hlsUrl = '/v/1';</script>",
            &["/v/1"],
            &[],
        ),
        (
            "a variable used under a key",
            "",
            "<script>var x = '/v/1'; p.setup({file: x})</script>",
            &["/v/1"],
            &[],
        ),
        (
            "JSON slashes",
            "",
            "<script>x = {\"a\":\"https:\\/\\/c.example\\/a.m3u8\"}</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "\\u002F",
            "",
            "<script>x = \"https:\\u002F\\u002Fc.example\\u002Fa.m3u8\"</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "\\x2F",
            "",
            "<script>x = 'https:\\x2f\\x2fc.example\\x2Fa.m3u8'</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "percent",
            "",
            "<script>x = 'https%3A%2F%2Fc.example%2Fa.m3u8'</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "entities in a string",
            "",
            "<script>x = 'https://c.example/a.m3u8?a=1&amp;b=2'</script>",
            &["https://c.example/a.m3u8?a=1&b=2"],
            &[],
        ),
        (
            "escaped twice over",
            "",
            "<script>x = \"{\\\"file\\\":\\\"https:\\\\\\/\\\\\\/c.example\\\\\\/a.m3u8\\\"}\"</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "percent twice over",
            "",
            "<script>x = 'https%253A%252F%252Fc.example%252Fa.m3u8'</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "atob",
            "",
            "<script>x = atob('aHR0cHM6Ly9jLmV4YW1wbGUvYS5tM3U4')</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "atob of a variable",
            "",
            "<script>var k='L3YvMQ=='; p.setup({file: window.atob(k)})</script>",
            &["/v/1"],
            &[],
        ),
        (
            "bare base64",
            "",
            "<script>x = 'aHR0cHM6Ly9jLmV4YW1wbGUvYS5tM3U4'</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "base64 twice over",
            "",
            "<script>x = 'YUhSMGNITTZMeTlqTG1WNFlXMXdiR1V2WVM1dE0zVTQ='</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "hexadecimal digits",
            "",
            "<script>x = '68747470733a2f2f632e6578616d706c652f612e6d337538'</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "joined with +",
            "",
            "<script>x = 'https://' + 'c.example' + '/a.m3u8'</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "joined with += over statements",
            "",
            "<script>var x = 'https://c.example'; x += '/a.m3u8';</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "joined by join",
            "",
            "<script>f(['https://c.example','v','a.m3u8'].join('/'))</script>",
            &["https://c.example/v/a.m3u8"],
            &[],
        ),
        (
            "an array reversed and joined",
            "",
            "<script>f(['.m3u8','/a','https://c.example'].reverse().join(''))</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "a string split, reversed and joined",
            "",
            "<script>f('8u3m.a/elpmaxe.c//:sptth'.split('').reverse().join(''))</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "a string backwards",
            "",
            "<script>f('8u3m.a/elpmaxe.c//:sptth')</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "characters replaced",
            "",
            "<script>f('https:##c.example#a.m3u8'.replace(/#/g, '/'))</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "character codes",
            "",
            "<script>f(String.fromCharCode(47,118,47,97,46,109,51,117,56))</script>",
            &["/v/a.m3u8"],
            &[],
        ),
        (
            "properties of an object",
            "",
            "<script>var cdn = {base: 'https://c.example'}; f(cdn.base + '/a.m3u8')</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "elements of an array",
            "",
            "<script>var p = ['/a.m3u8', 'https://c.example']; f(p[1] + p[0])</script>",
            &["https://c.example/a.m3u8", "/a.m3u8"],
            &[],
        ),
        (
            "templates",
            "",
            "<script>const h = 'c.example'; f(`https://${h}/a.m3u8`)</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "the page's own origin",
            "",
            "<script>f(location.origin + '/a.m3u8')</script>",
            &["/a.m3u8"],
            &[],
        ),
        (
            "packed",
            "",
            "<script>eval(function(p,a,c,k,e,d){while(c--)if(k[c])p=p.replace(new RegExp('\\\\b'+c.toString(a)+'\\\\b','g'),k[c]);return p}('0.1({2:\"3://4.5/6.7\"});',10,8,'player|setup|file|https|c|example|a|m3u8'.split('|'),0,{}))</script>",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "JSON in a string",
            "",
            "<script>var c = JSON.parse('{\"file\":\"/v/1.m3u8\"}')</script>",
            &["/v/1.m3u8"],
            &[],
        ),
        (
            "JSON in a script element",
            "",
            "<script type='application/json'>{\"stream\":{\"url\":\"/v/1\"}}</script>",
            &["/v/1"],
            &[],
        ),
        (
            "JSON-LD contentUrl",
            "",
            "<script type='application/ld+json'>{\"@type\":\"VideoObject\",\"contentUrl\":\"/v/1.mp4\",\"thumbnailUrl\":\"/t.jpg\",\"url\":\"/x\"}</script>",
            &["/v/1.mp4"],
            &[],
        ),
        (
            "JSON-LD embedUrl",
            "",
            "<script type='application/ld+json'>{\"@type\":\"VideoObject\",\"embedUrl\":\"/embed/1\"}</script>",
            &[],
            &["/embed/1"],
        ),
        (
            "video markup in a string",
            "",
            "<script>e.innerHTML = '<video><source src=\"/v/1.mp4\"></video>'</script>",
            &["/v/1.mp4"],
            &[],
        ),
        (
            "qualities in one string",
            "",
            "<script>p({file: '[360p]https://c.example/l.mp4,[720p]https://c.example/h.mp4'})</script>",
            &["https://c.example/l.mp4", "https://c.example/h.mp4"],
            &[],
        ),
        ("DASH", "", "<script>p.initialize(v, '/v/1.mpd', true)</script>", &["/v/1.mpd"], &[]),
        (
            "a manifest of Smooth Streaming as HLS",
            "",
            "<script>f('/v/1.ism/manifest(format=m3u8-aapl)')</script>",
            &["/v/1.ism/manifest(format=m3u8-aapl)"],
            &[],
        ),
        (
            "a playlist called .txt",
            "",
            "<script>p({file: '/v/1.txt'})</script>",
            &["/v/1.txt"],
            &[],
        ),
        (
            "m3u8 in the query",
            "",
            "<script>f('/play?format=m3u8&id=1')</script>",
            &["/play?format=m3u8&id=1"],
            &[],
        ),
        (
            "subtitles and pictures are none",
            "",
            "<script>p({tracks: [{file: '/v/1.vtt'}], image: '/p.jpg', src: '/x.js'})</script>",
            &[],
            &[],
        ),
        (
            "a JavaScript document",
            "text/javascript",
            "var a = 'https://c.example/a.m3u8'",
            &["https://c.example/a.m3u8"],
            &[],
        ),
        (
            "a JSON document",
            "application/json",
            "{\"data\":{\"streams\":[{\"url\":\"https:\\/\\/c.example\\/a\",\"type\":\"hls\"}]}}",
            &["https://c.example/a"],
            &[],
        ),
        ("JSON that is called HTML", "", "{\"file\":\"/v/1.m3u8\"}", &["/v/1.m3u8"], &[]),
        (
            "JSONP",
            "application/javascript",
            "cb({\"file\":\"/v/1.m3u8\"})",
            &["/v/1.m3u8"],
            &[],
        ),
        (
            "JSON with markup",
            "application/json",
            "{\"html\":\"<iframe src=\\\"/embed/1\\\"></iframe>\"}",
            &[],
            &["/embed/1"],
        ),
        (
            "a quote in a pattern",
            "",
            "<script>var r = /[\"']/g; f('/v/1.m3u8')</script>",
            &["/v/1.m3u8"],
            &[],
        ),
        (
            "an apostrophe in a comment",
            "",
            "<script>// it's\nf('/v/1.m3u8') /* don't */</script>",
            &["/v/1.m3u8"],
            &[],
        ),
    ]);
}

#[test]
fn what_speaks_against_a_candidate_ranks_it_lower() {
    check(&[
        (
            "an advertisement by its key",
            "",
            "<script>p({ads: {file: '/r.m3u8'}, file: '/v.m3u8'})</script>",
            &["/v.m3u8", "/r.m3u8"],
            &[],
        ),
        (
            "an advertisement by its path",
            "",
            "<script>f('/ads/r.m3u8'); f('/v.m3u8')</script>",
            &["/v.m3u8", "/ads/r.m3u8"],
            &[],
        ),
        (
            "a preview by its name",
            "",
            "<video src='preview.mp4'></video><a href='film.mp4'>",
            &["film.mp4", "preview.mp4"],
            &[],
        ),
        (
            "a trailer",
            "",
            "<script>s({trailer: '/t.m3u8', stream: '/f.m3u8'})</script>",
            &["/f.m3u8", "/t.m3u8"],
            &[],
        ),
        (
            "thumbnails by their kind",
            "",
            "<script>s([{file: '/t.mp4', kind: 'thumbnails'}, {file: '/f.mp4'}])</script>",
            &["/f.mp4", "/t.mp4"],
            &[],
        ),
        (
            "a video that decorates",
            "",
            "<video src=b.mp4 autoplay loop muted></video><video src=f.mp4 controls>",
            &["f.mp4", "b.mp4"],
            &[],
        ),
        (
            "a container's class",
            "",
            "<div class='ad-slot'><div><video src=a.mp4></video></div></div><div><video src=f.mp4></div>",
            &["f.mp4", "a.mp4"],
            &[],
        ),
        (
            "a comment in markup",
            "",
            "<!-- <video src=o.mp4> --><video src=f.mp4>",
            &["f.mp4", "o.mp4"],
            &[],
        ),
        (
            "a comment in a script",
            "",
            "<script>// file: 'https://c.example/o.m3u8'\nf('/v.mp4')</script>",
            &["/v.mp4", "https://c.example/o.m3u8"],
            &[],
        ),
        (
            "an unknown part",
            "",
            "<script>f('/v.mp4'); g('/a.m3u8?t=' + token)</script>",
            &["/v.mp4", "/a.m3u8?t="],
            &[],
        ),
        (
            "words within words are none",
            "",
            "<script>f('/download/adventure.m3u8')</script><a href='/x.m3u8'>",
            &["/download/adventure.m3u8", "/x.m3u8"],
            &[],
        ),
    ]);
    let found = read("<script>p({ads: {file: '/r.m3u8'}})</script>");
    assert_eq!(found.candidates[0].demerits, [Reason::Advertisement("ads".to_owned())]);
}

#[test]
fn a_candidate_tells_where_it_stood_and_what_was_undone() {
    let found = read("<script>p({file: atob('aHR0cHM6XC9cL2MuZXhhbXBsZVwvYS5tM3U4')})</script>");
    let candidate = &found.candidates[0];
    assert_eq!(candidate.url.as_str(), "https://c.example/a.m3u8");
    assert_eq!(candidate.via, Via::PlayerKey("file".to_owned()));
    assert_eq!(candidate.steps, [Step::Base64, Step::EscapedSlash]);
    assert_eq!(candidate.hint, Hint::Hls);
    assert_eq!(format!("{}: {}", candidate.via, candidate.steps[0]), "key file: base64 decoded");
}

#[test]
fn charset_from_mark_header_declaration_and_guess() {
    let title = |content_type: &str, bytes: &[u8]| read_as(content_type, bytes).title;
    let expected = Some("Fr\u{fc}hst\u{fc}ck".to_owned());
    assert_eq!(
        title("text/html", b"\xef\xbb\xbf<title>Fr\xc3\xbchst\xc3\xbcck</title>"),
        expected,
        "UTF-8 mark"
    );
    let utf16: Vec<u8> = "\u{feff}<title>Fr\u{fc}hst\u{fc}ck</title>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        title("text/html; charset=iso-8859-1", &utf16),
        expected,
        "UTF-16 mark before the header"
    );
    assert_eq!(
        title("text/html; charset=\"ISO-8859-1\"", b"<title>Fr\xfchst\xfcck</title>"),
        expected,
        "header"
    );
    assert_eq!(
        title("text/html", b"<meta charset=latin1><title>Fr\xfchst\xfcck</title>"),
        expected,
        "meta"
    );
    assert_eq!(
        title(
            "text/html",
            b"<meta http-equiv=content-type content='text/html; charset=windows-1252'><title>Fr\xfchst\xfcck</title>"
        ),
        expected,
        "http-equiv"
    );
    assert_eq!(
        title("", b"<?xml version='1.0' encoding='iso-8859-1'?><title>Fr\xfchst\xfcck</title>"),
        expected,
        "XML"
    );
    assert_eq!(
        title("text/html", b"<title>Fr\xc3\xbchst\xc3\xbcck</title>"),
        expected,
        "valid UTF-8"
    );
    assert_eq!(title("text/html", b"<title>Fr\xfchst\xfcck</title>"), expected, "windows-1252");
    let sjis = b"<meta charset=shift_jis><title>\x93\xfa\x96{</title>";
    assert_eq!(title("text/html", sjis).as_deref(), Some("\u{65e5}\u{672c}"));
}

#[test]
fn title_without_entities_and_line_breaks() {
    assert_eq!(
        read("<title>\n  News &amp;\n Views &ndash; 1 </title>").title.as_deref(),
        Some("News & Views \u{2013} 1")
    );
    assert_eq!(read("<meta property=og:title content='A &lt; B'>").title.as_deref(), Some("A < B"));
    assert_eq!(read("<title> </title>").title, None);
}

#[test]
fn scripts_of_the_same_site_without_libraries() {
    let found = read(
        "<script src=/js/main.js></script><script src=//static.site.example/player.js></script>\
         <script src=/js/jquery.min.js></script><script src=https://other.example/x.js></script><script src=/js/main.js></script>",
    );
    let scripts: Vec<_> = found.scripts.iter().map(Url::as_str).collect();
    assert_eq!(
        scripts,
        ["https://static.site.example/player.js", "https://site.example/js/main.js"]
    );
}

#[test]
fn a_page_that_needs_its_scripts_says_so() {
    assert!(read("<div id=root></div><script src=/app.js></script>").needs_script);
    assert!(read("<script>v.src = 'blob:https://site.example/1'</script>").needs_script);
    assert!(read("<video id=v></video><script>f('https://' + host + '/a.m3u8')</script>").needs_script);
    assert!(!read("<div id=root></div><video src=a.mp4>").needs_script);
    assert!(!read("<p>Nothing to see.").needs_script);
}

#[test]
fn limits_cut_and_tell() {
    let url = Url::parse(PAGE).unwrap();
    let text: String = (0..100)
        .map(|number| format!("<video src={number}.mp4></video><iframe src={number}.html></iframe>"))
        .collect();
    let document = Document {
        url: &url,
        content_type: None,
        bytes: text.as_bytes(),
    };
    let mut limits = Limits::default();
    (limits.candidates, limits.frames) = (3, 2);
    let found = extract(&document, &limits);
    assert_eq!((found.candidates.len(), found.frames.len()), (3, 2));
    assert_eq!(found.truncated.len(), 2);
    limits.document_bytes = 10;
    let found = extract(&document, &limits);
    assert!(found.candidates.is_empty() && !found.truncated.is_empty());
}
