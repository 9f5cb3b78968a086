//! The rules for what stands in the head of a page: `<meta>` and `<link>`.

use super::account::{Hint, Via};
use super::address::{self, Class};
use super::collect::{Context, Strength};
use super::html::Attribute;
use super::markup::{Walk, tidy, typed, value};

impl Walk<'_, '_> {
    pub(super) fn link_tag(&mut self, attributes: &[Attribute<'_>]) {
        let Some(href) = value(attributes, "href") else { return };
        let mut place = self.place(Via::LinkTag, Strength::Weak, attributes);
        place.hint = typed(attributes);
        if let Some(name) = value(attributes, "itemprop") {
            return self.microdata(&name, &href, place);
        }
        let rel = value(attributes, "rel").unwrap_or_default().to_ascii_lowercase();
        let mime = value(attributes, "type").unwrap_or_default();
        match rel.as_str() {
            "video_src" => place.strength = Strength::Likely,
            "modulepreload" => return self.collector.script(&href),
            "preload" | "prefetch"
                if (matches!(value(attributes, "as").as_deref(), Some("video" | "audio")) || place.hint != Hint::Unknown) =>
            {
                place.strength = Strength::Likely;
            }
            "alternate" if mime.contains("oembed") => place.frame = true,
            "alternate" if place.hint != Hint::Unknown => place.strength = Strength::Likely,
            "stylesheet" | "icon" | "canonical" | "shortcut icon" | "apple-touch-icon" => return,
            _ => {}
        }
        self.collector.offer(&href, &place);
    }

    fn microdata(&mut self, name: &str, content: &str, mut place: Context) {
        place.via = Via::Microdata(name.to_owned());
        match name {
            "contentUrl" | "contentURL" => place.strength = Strength::Certain,
            "embedUrl" | "embedURL" => place.frame = true,
            _ => return,
        }
        self.collector.offer(content, &place);
    }

    pub(super) fn meta(&mut self, attributes: &[Attribute<'_>]) {
        let Some(content) = value(attributes, "content") else { return };
        if let Some(name) = value(attributes, "itemprop") {
            let place = self.place(Via::Microdata(String::new()), Strength::Weak, attributes);
            self.microdata(&name, &content, place);
        }
        if value(attributes, "http-equiv").is_some_and(|name| name.eq_ignore_ascii_case("refresh")) {
            if let Some(address) = refresh_address(&content) {
                let place = self.place(Via::MetaRefresh, Strength::Likely, attributes);
                self.collector.frame(address, &place);
            }
            return;
        }
        let name = value(attributes, "property")
            .or_else(|| value(attributes, "name"))
            .unwrap_or_default()
            .to_ascii_lowercase();
        match name.as_str() {
            "og:title" => self.collector.social_title = tidy(&content),
            "og:video" | "og:video:url" | "og:video:secure_url" | "og:audio" | "og:audio:url" | "og:audio:secure_url" => {
                self.og_flush();
                self.og_video = Some((name, content.into_owned()));
            }
            "og:video:type" | "og:audio:type" => self.og_type = content.into_owned(),
            "twitter:player:stream" => {
                let place = self.place(Via::Twitter(name), Strength::Certain, attributes);
                self.collector.offer(&content, &place);
            }
            "twitter:player" => {
                let place = self.place(Via::Twitter(name), Strength::Likely, attributes);
                self.collector.frame(&content, &place);
            }
            _ => {
                let place = self.place(
                    Via::Attribute(if name.is_empty() { "content".to_owned() } else { name }),
                    Strength::Weak,
                    attributes,
                );
                self.collector.string(&content, &place);
            }
        }
    }

    /// Takes an `og:video`, once its type is known or cannot follow any more.
    pub(super) fn og_flush(&mut self) {
        let Some((name, content)) = self.og_video.take() else { return };
        let mut place = self.place(Via::OpenGraph(name), Strength::Certain, &[]);
        match address::classify_type(&self.og_type) {
            Class::Stream(hint) => place.hint = hint,
            // Without a type it is a player's page as often as a file.
            _ => place.frame = true,
        }
        self.collector.offer(&content, &place);
    }
}

/// The address in `5; url='next.html'`.
fn refresh_address(content: &str) -> Option<&str> {
    let (_, rest) = content.split_once([';', ','])?;
    let rest = rest.trim_start();
    let rest = match address::strip_prefix_ignore_case(rest, "url") {
        Some(after) => after.trim_start().strip_prefix('=')?.trim_start(),
        None => rest,
    };
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
    match quote {
        Some(quote) => rest.get(1..)?.split(quote).next(),
        None => Some(rest.trim_end()),
    }
}
