//! The rules for markup: which elements and attributes name frames, streams and scripts.

use super::account::{Cut, Hint, Reason, Step, Via};
use super::address::{self, Class};
use super::collect::{Collector, Context, Strength};
use super::html::{Attribute, Scanner, Token};
use super::words::{self, Place};
use super::{entities, escapes, keys};

use std::borrow::Cow;

/// Attributes that a lazy loader moves to `src`.
const LAZY: [&str; 12] = [
    "data-src",
    "data-lazy-src",
    "data-lazy",
    "data-original",
    "data-iframe-src",
    "data-url",
    "data-embed-src",
    "data-embed",
    "data-frame-src",
    "data-uri",
    "data-href",
    "lazy-src",
];
/// Attributes that hold no address.
const DULL: [&str; 14] = [
    "class", "id", "style", "alt", "title", "width", "height", "name", "rel", "type", "role", "lang", "srcset", "sizes",
];
/// Containers that are remembered for what their class says against their content.
const CONTAINERS: usize = 16;

/// An element around, whose class speaks against what it holds.
struct Container {
    name: String,
    /// Elements of the same name that are open within, itself included.
    open: usize,
    reasons: Vec<Reason>,
}

/// A walk over one piece of markup.
pub(super) struct Walk<'c, 'l> {
    pub(super) collector: &'c mut Collector<'l>,
    outer: &'c Context,
    containers: Vec<Container>,
    /// `<noscript>` elements that are open.
    noscript: usize,
    /// The group of the `<video>` whose `<source>` elements may follow.
    video: Option<(usize, Vec<Reason>)>,
    /// `og:video` whose type may follow.
    pub(super) og_video: Option<(String, String)>,
    pub(super) og_type: String,
}

impl Collector<'_> {
    /// Reads a whole document.
    pub(super) fn read(&mut self, text: &str, content_type: Option<&str>) {
        let start = text.trim_start();
        let mime = content_type
            .and_then(|header| header.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let script = !start.starts_with('<')
            && (mime.ends_with("json") || mime.ends_with("javascript") || mime.ends_with("ecmascript") || start.starts_with(['{', '[']));
        if script {
            self.read_script(text, &Context::new(Via::ScriptString, Strength::Weak));
        } else {
            self.read_markup(text, &Context::new(Via::Text, Strength::Weak));
        }
        self.read_text(text);
    }

    /// Looks through a whole document for absolute addresses that no rule has seen.
    fn read_text(&mut self, text: &str) {
        let place = Context::new(Via::Text, Strength::Weak);
        for found in address::sweep(text) {
            if !found.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("http")) {
                continue;
            }
            let mut inner = place.clone();
            let plain = escapes::undo(found, &mut inner.steps);
            self.offer(address::until_end(&plain), &inner);
        }
    }

    /// Reads markup, a document or a part of one.
    pub(super) fn read_markup(&mut self, text: &str, outer: &Context) {
        let mut walk = Walk {
            collector: self,
            outer,
            containers: Vec::new(),
            noscript: 0,
            video: None,
            og_video: None,
            og_type: String::new(),
        };
        let mut scanner = Scanner::new(text);
        while let Some(token) = scanner.next() {
            match token {
                Token::Start(name) => walk.start(&name, scanner.attributes()),
                Token::Raw(name, text) => walk.raw(&name, scanner.attributes(), text),
                Token::End(name) => walk.end(&name),
                Token::Comment(text) => walk.comment(text),
            }
        }
        walk.finish();
        if scanner.overflowed() {
            self.cut(Cut::Attributes);
        }
    }
}

/// The value of an attribute, decoded.
pub(super) fn value<'a>(attributes: &[Attribute<'a>], name: &str) -> Option<Cow<'a, str>> {
    attributes
        .iter()
        .find(|attribute| attribute.name == name)
        .map(|attribute| entities::decode(attribute.value))
}

fn has(attributes: &[Attribute<'_>], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.name == name)
}

impl Walk<'_, '_> {
    fn start(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        if let Some(container) = self.containers.last_mut().filter(|container| container.name == name) {
            container.open += 1;
        }
        if !matches!(name, "source" | "track" | "p" | "a" | "img" | "br") {
            self.video = None;
        }
        let mut used: &[&str] = &[];
        match name {
            "base" => {
                if let Some(href) = value(attributes, "href") {
                    self.collector.set_base(&href);
                }
                return;
            }
            "meta" => return self.meta(attributes),
            "noscript" => self.noscript += 1,
            "video" | "audio" => {
                self.video_element(name, attributes);
                used = &["src", "data-src", "poster"];
            }
            "source" => {
                self.source(attributes);
                used = &["src", "data-src"];
            }
            "track" | "img" | "picture" | "svg" | "path" | "style" => return,
            "a" | "area" => {
                self.link(attributes);
                used = &["href"];
            }
            "link" => return self.link_tag(attributes),
            "embed" | "object" | "param" => return self.embed(name, attributes),
            _ if name.ends_with("frame") => {
                self.frame(attributes);
                used = &["src", "srcdoc"];
            }
            "body" | "html" => {}
            _ => self.container(name, attributes),
        }
        self.attributes(name, attributes, used);
    }

    fn end(&mut self, name: &str) {
        if let Some(container) = self.containers.last_mut().filter(|container| container.name == name) {
            container.open -= 1;
            if container.open == 0 {
                self.containers.pop();
            }
        }
        match name {
            "noscript" => self.noscript = self.noscript.saturating_sub(1),
            "video" | "audio" => self.video = None,
            "head" | "body" => self.containers.clear(),
            _ => {}
        }
    }

    /// The place of an attribute, with what its element's names and its containers say against it.
    pub(super) fn place(&self, via: Via, strength: Strength, attributes: &[Attribute<'_>]) -> Context {
        let mut place = Context {
            via,
            strength,
            ..self.outer.clone()
        };
        if self.noscript > 0 {
            escapes::note(&mut place.steps, Step::NoScript);
        }
        for container in &self.containers {
            place.reasons.extend(container.reasons.iter().cloned());
        }
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.name == "class" || attribute.name == "id")
        {
            words::judge(attribute.value, Place::Class, &mut place.reasons);
        }
        place.reasons.dedup();
        place
    }

    fn container(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        if !matches!(
            name,
            "div" | "section" | "aside" | "figure" | "article" | "ul" | "li" | "nav" | "footer"
        ) || self.containers.len() >= CONTAINERS
        {
            return;
        }
        let mut reasons = Vec::new();
        for attribute in attributes
            .iter()
            .filter(|attribute| attribute.name == "class" || attribute.name == "id")
        {
            words::judge(attribute.value, Place::Class, &mut reasons);
        }
        reasons.retain(|reason| !matches!(reason, Reason::Thumbnail(_) | Reason::Placeholder(_)));
        if !reasons.is_empty() {
            self.containers.push(Container {
                name: name.to_owned(),
                open: 1,
                reasons,
            });
        } else if matches!(value(attributes, "id").as_deref(), Some("root" | "app" | "__next" | "__nuxt")) {
            self.collector.needs_script = true;
        }
    }

    fn frame(&mut self, attributes: &[Attribute<'_>]) {
        if let Some(text) = value(attributes, "srcdoc").filter(|text| !text.trim().is_empty()) {
            let place = self.place(Via::Srcdoc, Strength::Likely, attributes);
            self.collector.srcdoc(text.into_owned(), place);
        }
        if let Some(src) = value(attributes, "src") {
            let place = self.place(Via::Iframe, Strength::Likely, attributes);
            self.collector.frame(&src, &place);
        }
        for lazy in attributes.iter().filter(|attribute| LAZY.contains(&&*attribute.name)) {
            let place = self.place(Via::LazyIframe(lazy.name.clone().into_owned()), Strength::Likely, attributes);
            self.collector.frame(&entities::decode(lazy.value), &place);
        }
    }

    fn video_element(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        let via = if name == "audio" { Via::Audio } else { Via::Video };
        let mut place = self.place(via, Strength::Certain, attributes);
        if has(attributes, "loop") && has(attributes, "muted") && has(attributes, "autoplay") && !has(attributes, "controls") {
            place.reasons.push(Reason::Background("muted loop".to_owned()));
        }
        place.group = self.collector.new_group();
        place.hint = typed(attributes);
        let mut named = false;
        for name in ["src", "data-src"] {
            if let Some(src) = value(attributes, name).filter(|src| !src.trim().is_empty()) {
                named = true;
                self.collector.offer(&src, &place);
            }
        }
        if !named {
            self.collector.needs_script = true;
        }
        self.video = Some((place.group, place.reasons));
    }

    fn source(&mut self, attributes: &[Attribute<'_>]) {
        if value(attributes, "type").is_some_and(|mime| address::classify_type(&mime) == Class::Never) || has(attributes, "srcset") {
            return;
        }
        let mut place = self.place(Via::Source, Strength::Certain, attributes);
        if let Some((group, reasons)) = &self.video {
            place.group = *group;
            place.reasons.extend(reasons.iter().cloned());
            place.reasons.dedup();
        }
        place.hint = typed(attributes);
        place.height = ["size", "res", "label", "data-res", "data-quality", "title", "height"]
            .iter()
            .find_map(|name| keys::height(&value(attributes, name)?));
        for name in ["src", "data-src"] {
            if let Some(src) = value(attributes, name) {
                self.collector.offer(&src, &place);
            }
        }
    }

    fn link(&mut self, attributes: &[Attribute<'_>]) {
        let Some(href) = value(attributes, "href") else { return };
        let mut place = self.place(Via::Link, Strength::Weak, attributes);
        // A link that opens a player over the page.
        let opens = attributes.iter().any(|attribute| {
            let text = if attribute.name == "class" || attribute.name == "rel" {
                attribute.value
            } else {
                &attribute.name
            };
            ["lightbox", "fancybox", "popup", "lity", "modal"]
                .iter()
                .any(|word| text.contains(word))
        });
        place.frame = opens && ["embed", "player", "video", "/play"].iter().any(|word| href.contains(word));
        self.collector.offer(&href, &place);
    }

    fn embed(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        let place = self.place(Via::Embed, Strength::Likely, attributes);
        if name == "param" {
            let (name, content) = (
                value(attributes, "name").unwrap_or_default().to_ascii_lowercase(),
                value(attributes, "value").unwrap_or_default(),
            );
            match name.as_str() {
                "flashvars" => self.flash_variables(&content, &place),
                "movie" | "src" | "url" | "file" | "filename" => drop(self.collector.offer(&content, &place)),
                _ => self.collector.string(
                    &content,
                    &Context {
                        strength: Strength::Weak,
                        ..place
                    },
                ),
            }
            return;
        }
        let mut place = place;
        place.hint = typed(attributes);
        if let Some(address) = value(attributes, if name == "object" { "data" } else { "src" }) {
            let mime = value(attributes, "type").map(|mime| address::classify_type(&mime));
            let document = match mime {
                Some(Class::Page) => true,
                Some(Class::Stream(_)) | Some(Class::Never) => false,
                _ => matches!(address::classify(&address), Class::Page | Class::Unknown),
            };
            self.collector.offer(
                &address,
                &Context {
                    frame: document,
                    ..place.clone()
                },
            );
        }
        if let Some(variables) = value(attributes, "flashvars") {
            self.flash_variables(&variables, &place);
        }
    }

    /// `file=https%3A%2F%2F…&image=…`
    fn flash_variables(&mut self, variables: &str, place: &Context) {
        let query = format!("?{variables}");
        for (name, text) in address::in_query(&query) {
            let kind = keys::key_kind(name, "");
            let mut inner = Context {
                strength: kind.strength,
                hint: kind.hint,
                frame: kind.frame,
                ..place.clone()
            };
            escapes::note(&mut inner.steps, Step::Query(name.to_owned()));
            words::judge(name, Place::Key, &mut inner.reasons);
            self.collector.string(&text, &inner);
        }
    }

    fn raw(&mut self, name: &str, attributes: &[Attribute<'_>], text: &str) {
        match name {
            "title" if self.collector.title.is_none() && self.outer.depth == 0 => {
                self.collector.title = tidy(&entities::decode(text));
            }
            "script" => self.script(attributes, text),
            "textarea" => {
                let text = entities::decode(text);
                let mut place = self.place(Via::Text, Strength::Weak, attributes);
                place.reasons.push(Reason::ShownAsText);
                self.collector.string(&text, &place);
            }
            _ => {}
        }
    }

    fn script(&mut self, attributes: &[Attribute<'_>], text: &str) {
        if let Some(src) = value(attributes, "src").or_else(|| value(attributes, "data-src")) {
            self.collector.script(&src);
        }
        let mime = value(attributes, "type").unwrap_or_default().to_ascii_lowercase();
        if mime == "application/ld+json" {
            let place = self.place(Via::JsonLd(String::new()), Strength::Weak, &[]);
            self.collector.read_script(text, &place);
        } else if mime.contains("template") || mime == "text/html" || mime.contains("handlebars") {
            let place = self.place(Via::Text, Strength::Weak, &[]).deeper(Step::NestedMarkup);
            if self.collector.charge(text.len(), place.depth) {
                self.collector.read_markup(text, &place);
            }
        } else {
            let place = self.place(Via::ScriptString, Strength::Weak, &[]);
            self.collector.read_script(text, &place);
        }
        self.attributes("script", attributes, &["src", "data-src"]);
    }

    fn comment(&mut self, text: &str) {
        if text.len() < 10 {
            return;
        }
        let mut place = self.place(Via::Comment, Strength::Weak, &[]);
        place.reasons.push(Reason::Commented);
        if super::strings::has_markup(text) {
            let inner = place.deeper(Step::NestedMarkup);
            if self.collector.charge(text.len(), inner.depth) {
                self.collector.read_markup(text, &inner);
            }
        }
        self.collector.sweep(text, &place);
    }

    /// All attributes that no rule of the element has used.
    fn attributes(&mut self, element: &str, attributes: &[Attribute<'_>], used: &[&str]) {
        let player = element.contains('-')
            && ["video", "player", "stream", "media", "hls", "dash", "audio"]
                .iter()
                .any(|word| element.contains(word));
        let is_frame = element.ends_with("frame");
        for attribute in attributes {
            let name = &*attribute.name;
            if attribute.value.len() < 4 || used.contains(&name) || DULL.contains(&name) || (is_frame && LAZY.contains(&name)) {
                continue;
            }
            let text = entities::decode(attribute.value);
            if name.starts_with("on") {
                if text.contains(['"', '\'', '`']) {
                    let place = self.place(Via::ScriptString, Strength::Weak, attributes);
                    self.collector.read_script(&text, &place);
                }
                continue;
            }
            if super::strings::is_dull(&text) {
                continue;
            }
            let via = if player {
                Via::PlayerElement(element.to_owned(), name.to_owned())
            } else {
                Via::Attribute(name.to_owned())
            };
            let mut place = self.place(via, Strength::Weak, attributes);
            let key = name.trim_start_matches([':', '@', 'v', '-']).trim_start_matches("bind:");
            words::judge(name, Place::Key, &mut place.reasons);
            let kind = keys::key_kind(
                if name.starts_with(':') || name.starts_with("v-bind") {
                    key
                } else {
                    name
                },
                "",
            );
            let trusted = player || name.starts_with("data-") || matches!(element, "enclosure" | "media:content");
            if trusted {
                (place.strength, place.hint, place.frame) = (kind.strength, kind.hint, kind.frame);
            }
            // `data-src` of a picture or a script is none of a player's.
            if !player && matches!(name, "data-src" | "data-source" | "data-file" | "data-media") {
                place.strength = Strength::Weak;
            }
            if !player && kind.frame && !name.starts_with("data-") {
                place.frame = false;
            }
            if place.hint == Hint::Unknown && (trusted || player) {
                place.hint = typed(attributes);
            }
            self.collector.string(&text, &place);
        }
    }

    fn finish(&mut self) {
        self.og_flush();
    }
}

/// What the type beside an address says.
pub(super) fn typed(attributes: &[Attribute<'_>]) -> Hint {
    match value(attributes, "type")
        .or_else(|| value(attributes, "data-type"))
        .map(|mime| address::classify_type(&mime))
    {
        Some(Class::Stream(hint)) => hint,
        _ => Hint::Unknown,
    }
}

/// A title on one line; nothing if it is empty.
pub(super) fn tidy(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let title = words.join(" ");
    (!title.is_empty()).then_some(title)
}
