//! How fast 5 MB pages of several kinds are read, most of them hostile.
//!
//! `cargo bench -p aqueduct-resolve --bench extract [filter]` prints the best of three runs of each.

use std::time::{Duration, Instant};

use aqueduct_resolve::extract::{Document, Limits, extract};

const SIZE: usize = 5_000_000;

fn fill(pattern: &str) -> String {
    pattern.repeat(SIZE / pattern.len())
}

fn numbered(pattern: &str) -> String {
    let mut out = String::new();
    let mut number = 0;
    while out.len() < SIZE {
        out.push_str(&pattern.replace('#', &number.to_string()));
        number += 1;
    }
    out
}

fn script(text: &str) -> String {
    format!("<script>{text}</script>")
}

fn packed_bomb() -> String {
    let word = "w".repeat(60_000);
    let payload = "0 ".repeat(30_000);
    let one = format!("eval(function(p,a,c,k,e,d){{return p}}('{payload}',10,1,'{word}'.split('|'),0,{{}}));");
    script(&one.repeat(SIZE / one.len()))
}

fn base64_bomb() -> String {
    use base64::Engine;
    let mut text = "\"https://a.example/b.m3u8\";".repeat(30_000);
    for _ in 0..8 {
        text = format!("\"{}\"", base64::engine::general_purpose::STANDARD.encode(&text));
        if text.len() > SIZE {
            break;
        }
    }
    script(&format!("x = atob({text})"))
}

fn cases() -> Vec<(&'static str, String)> {
    vec![
        (
            "news cards",
            numbered(
                "<div class=\"card wide\"><a href=\"/news/#-some-title\" title=\"Title #\"><img data-src=\"/i/#.jpg\" alt=\"x\"></a><p>Some words about it.</p></div>\n",
            ),
        ),
        (
            "minified script",
            script(&fill(
                "function a(t,e){var n=t.length,r=\"click\";return n>2?e.push({type:r,value:t[0]+\"px\"}):null};if(x.y&&z)a(b,c);",
            )),
        ),
        (
            "json",
            numbered(
                "{\"id\":#,\"title\":\"Episode #\",\"image\":\"https://img.example/#.jpg\",\"url\":\"/watch/#\",\"tags\":[\"a\",\"b\"]},\n",
            ),
        ),
        ("deep nesting", fill("<div>")),
        ("deep flagged nesting", fill("<div class=\"ad\">")),
        ("stray <", fill("<")),
        ("unclosed quotes in tags", fill("<a b=\"<a c='")),
        ("one tag of many attributes", format!("<div {}>", fill("data-a=bcdef/ "))),
        ("data attributes", numbered("<li data-url=\"/x/#\" data-n='{\"a\":\"b#\"}'>")),
        ("unclosed comments", fill("<!-- <!-")),
        ("entities", fill("<a href=\"&amp;&#47;&quot;&nosuch\">")),
        ("almost addresses", numbered("https://a.example/#/index.m3u ")),
        ("addresses in text", numbered("https://a.example/#/index.m3u8 ")),
        (
            "addresses in strings",
            script(&numbered("\"https:\\/\\/a.example\\/#\\/index.m3u8\",")),
        ),
        (
            "addresses in attributes",
            numbered("<a href=\"https://a.example/#.mp4?x=https%3A%2F%2Fb%2F#.m3u8&amp;y=1\">"),
        ),
        ("one long almost-address", format!("<script>\"https://{}\"</script>", fill("a/"))),
        ("markers without space", fill(".m3u8")),
        ("http without end", fill("http://")),
        ("dots", fill(".abc")),
        ("open quotes", script(&fill("'\\'\"\\\""))),
        ("open quotes by line", script(&fill("'\"\n"))),
        ("open brackets", script(&fill("["))),
        ("open parentheses", script(&fill("(\"a\"+"))),
        ("open braces with keys", script(&fill("{advert:"))),
        ("nested arrays of strings", script(&fill("[\"a\",\"b\",["))),
        ("slashes", script(&fill("/a[/"))),
        ("joined strings", script(&fill("\"a\"+"))),
        ("joined short addresses", script(&fill("x+\"/b.m3u8\"+y,"))),
        ("dotted names", script(&fill("=a.b."))),
        (
            "variables doubling",
            script(&format!("a=\"{}\";{}", "x".repeat(8000), fill("a=a+a;"))),
        ),
        (
            "variables appended",
            script(&format!("a=\"\";{}", fill("a+=\"https://x/y.m3u8?\";"))),
        ),
        (
            "variables repeated",
            script(&format!("a=\"https://{}/a.m3u8\";{}", "x".repeat(4000), fill("f(a);"))),
        ),
        (
            "split and join",
            script(&format!("f(\"{}\".split(\"\").reverse().join(\"\"))", fill("ab"))),
        ),
        ("packed", packed_bomb()),
        ("almost packed", script(&fill("function(p,a,c,k,e,d){"))),
        ("base64 within base64", base64_bomb()),
        ("bare base64", script(&fill("\"aHR0cHM6Ly9jZG4uZXhhbXBsZS9iNjQ\","))),
        ("markup within strings", script(&fill("'<iframe src=\"/x.html\">',"))),
        ("percent", script(&format!("\"{}\"", fill("%252F")))),
        ("backslashes", script(&format!("\"{}\"", fill("\\\\")))),
        (
            "bytes",
            (0..SIZE / 2)
                .map(|number| char::from_u32(u32::try_from(number * 7919 % 0x2000).unwrap_or(65)).unwrap_or('a'))
                .collect(),
        ),
    ]
}

/// What this thread has used of a processor, where the system tells; else what a clock on the wall shows.
struct Clock(Instant);

impl Clock {
    fn now(&self) -> Duration {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let used = told.and_then(|text| text.split(' ').next()?.parse().ok());
        used.map_or_else(|| self.0.elapsed(), Duration::from_nanos)
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
fn main() {
    let filter: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let Ok(url) = "https://site.example/watch/1".parse() else { return };
    let clock = Clock(Instant::now());
    println!(
        "{:<28} {:>8} {:>9} {:>10} {:>7} {:>7}",
        "5 MB of", "CPU ms", "MB/s", "candidates", "frames", "cut"
    );
    for (name, page) in cases() {
        if !filter.is_empty() && !filter.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let document = Document {
            url: &url,
            content_type: Some("text/html"),
            bytes: page.as_bytes(),
        };
        let mut best = Duration::MAX;
        let mut found = None;
        for _ in 0..3 {
            let start = clock.now();
            let extraction = extract(&document, &Limits::default());
            best = best.min(clock.now().saturating_sub(start));
            found = Some(extraction);
        }
        let Some(found) = found else { continue };
        let rate = page.len() as f64 / 1e6 / best.as_secs_f64();
        let (candidates, frames, cut) = (found.candidates.len(), found.frames.len(), found.truncated.len());
        println!(
            "{name:<28} {:>8.1} {rate:>9.0} {candidates:>10} {frames:>7} {cut:>7}",
            best.as_secs_f64() * 1e3
        );
    }
}
