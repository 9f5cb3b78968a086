//! The rules for scripts and JSON: which key, call or assignment a string belongs to.
//!
//! One walk over the tokens, with a stack of open brackets. Nothing is parsed further than it takes to know
//! that `file: "…"` is a key of an object inside the array `sources`, or that a string is the second
//! argument of `loadSource`.

use super::account::{Cut, Hint, Reason, Step, Via};
use super::address::{self, Class};
use super::collect::{Collector, Context, Strength};
use super::fold::{Folded, Folder};
use super::keys::{against, height, is_plain_key, key_kind};
use super::lexer::{Kind, Lexer, Token};
use super::packed;
use super::words::{self, Place};

/// Brackets within brackets whose keys are remembered.
const LEVELS: usize = 128;
/// Scripts of packed form that turn out not to be, before no more are tried.
const UNPACK_FAILURES: usize = 4;

/// An open bracket.
struct Level<'a> {
    open: u8,
    /// What is called, if this is a call's.
    callee: &'a str,
    /// The first argument of the call, if it is a short string.
    argument: &'a str,
    /// The key that the value being read belongs to.
    key: &'a str,
    /// The key that this whole bracket belongs to.
    owner: &'a str,
    /// The dotted name of this object, if it has one.
    path: String,
    reasons: Vec<Reason>,
    group: usize,
    /// How many candidates there were before it.
    first: usize,
    /// What a type in it says.
    hint: Hint,
    height: Option<u32>,
    /// What its kind says against it.
    against: Option<Reason>,
    /// Addresses under keys that only a type beside them makes a stream's.
    pending: Vec<(String, Context)>,
}

/// A walk over one script.
struct Walk<'c, 'l, 'a> {
    collector: &'c mut Collector<'l>,
    outer: &'c Context,
    levels: Vec<Level<'a>>,
    /// Brackets open beyond `LEVELS`.
    beyond: usize,
    /// The name that a value is about to be assigned to.
    target: &'a str,
    /// The assignment adds to what the name holds.
    appends: bool,
    /// Up to where brackets were tried in vain.
    blocked: usize,
}

impl Collector<'_> {
    /// Reads a script or JSON.
    pub(super) fn read_script(&mut self, text: &str, outer: &Context) {
        Walk {
            collector: self,
            outer,
            levels: Vec::new(),
            beyond: 0,
            target: "",
            appends: false,
            blocked: 0,
        }
        .run(Lexer::new(text));
    }
}

impl<'a> Walk<'_, '_, 'a> {
    fn run(&mut self, mut lexer: Lexer<'a>) {
        let mut before = Kind::Mark(b';');
        // The dotted name that ended just before, and where it began.
        let mut path = "";
        let mut path_start = 0;
        loop {
            let here = lexer;
            let Some(token) = lexer.next() else { break };
            if token.kind == Kind::Comment {
                self.comment(token.text);
                continue;
            }
            if self.is_key(token, before, lexer) {
                lexer.next_code();
                self.set_key(token.text);
                before = Kind::Mark(b':');
                path = "";
                continue;
            }
            if let Some(after) = self.value(token, before, here) {
                // `"a" + "b"` was read as one; what follows is no key and no name.
                lexer = after;
                before = Kind::Text;
                path = "";
                self.target = "";
                continue;
            }
            match token.kind {
                Kind::Name => {
                    path = if before == Kind::Mark(b'.') && !path.is_empty() {
                        lexer.span(path_start, token.start + token.text.len())
                    } else {
                        path_start = token.start;
                        token.text
                    };
                    if token.text == "function"
                        && let Some(after) = self.packed(lexer)
                    {
                        lexer = after;
                    }
                }
                Kind::Mark(b'.') => {}
                Kind::Mark(mark) => {
                    self.mark(mark, path, before, &mut lexer);
                    path = "";
                }
                _ => path = "",
            }
            before = token.kind;
        }
        while let Some(level) = self.levels.pop() {
            self.closed(level);
        }
    }

    /// Whether a name or a string is the key of what follows.
    fn is_key(&self, token: Token<'a>, before: Kind, after: Lexer<'a>) -> bool {
        matches!(token.kind, Kind::Name | Kind::Text)
            && matches!(before, Kind::Mark(b'{' | b','))
            && self.levels.last().is_some_and(|level| level.open == b'{')
            && after.upcoming() == Some(b':')
    }

    fn set_key(&mut self, key: &'a str) {
        if let Some(level) = self.levels.last_mut() {
            level.key = key;
        }
        self.target = "";
    }

    /// Reads the value that begins with this token, if its text tells it.
    fn value(&mut self, token: Token<'a>, before: Kind, here: Lexer<'a>) -> Option<Lexer<'a>> {
        let begins = match token.kind {
            Kind::Text | Kind::Template => true,
            // `a[0]` and `f("x")` are no array and no parenthesis.
            Kind::Mark(b'[') => !matches!(before, Kind::Name | Kind::Text | Kind::Mark(b')' | b']')),
            Kind::Mark(b'(') => !matches!(before, Kind::Name | Kind::Mark(b')' | b']')),
            Kind::Name => {
                matches!(before, Kind::Mark(b':' | b'=' | b'(' | b'[' | b',' | b'?' | b'+' | b'|')) || matches!(token.text, "atob")
            }
            Kind::Number => {
                self.number(token.text);
                return None;
            }
            _ => false,
        };
        if !begins {
            return None;
        }
        // A cheap look tells most names and brackets that begin no constant.
        let plain = match token.kind {
            Kind::Name => self.collector.environment.may_know(token.text) && !self.collector.is_spent(),
            Kind::Mark(_) => here
                .after_mark()
                .is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`' | b']' | b'$' | b'_') || byte.is_ascii_alphabetic()),
            _ => true,
        };
        if !plain {
            return None;
        }
        let folder = Folder::new(&self.collector.environment, self.collector.allowance(), self.blocked);
        let folded = folder.expression(here, 0);
        let (spent, exhausted, reached) = (folder.spent(), folder.exhausted(), folder.reached());
        self.collector.spend(spent, exhausted);
        let Some((folded, after)) = folded else {
            self.blocked = self.blocked.max(reached);
            return None;
        };
        if after.position() < reached {
            self.blocked = self.blocked.max(reached);
        }
        self.take(folded, before == Kind::Mark(b'+') && !self.appends);
        Some(after)
    }

    /// Takes a value where it stands. `front` tells that something unknown stands before it.
    fn take(&mut self, folded: Folded<'a>, front: bool) {
        if self.appends {
            self.append(&folded);
            return;
        }
        if !self.target.is_empty() && !front {
            self.collector.environment.set(self.target, &folded);
        } else if let Some(level) = self
            .levels
            .last()
            .filter(|level| level.open == b'{' && !level.path.is_empty() && !level.key.is_empty())
        {
            self.collector.environment.set(&format!("{}.{}", level.path, level.key), &folded);
        }
        match folded {
            Folded::Text(piece) | Folded::Split(piece, ..) => {
                self.note_sibling(&piece.text);
                if super::strings::is_dull(&piece.text) {
                    return;
                }
                let mut place = self.place();
                piece
                    .steps
                    .into_iter()
                    .for_each(|step| super::escapes::note(&mut place.steps, step));
                if front || !piece.whole {
                    self.collector.incomplete(&piece.text, front, &place);
                } else {
                    self.text(&piece.text, &place);
                }
            }
            Folded::List(list) => {
                let mut place = self.place();
                place.group = self.collector.new_group();
                // An array of which some elements are no addresses may be the parts of one.
                let parts = list.iter().any(|piece| !matches!(address::classify(&piece.text), Class::Stream(_)));
                for piece in list {
                    let mut place = place.clone();
                    if parts && address::next_marker(&piece.text, 0).is_some() && !address::is_absolute(&piece.text) {
                        place.reasons.push(Reason::Incomplete);
                    }
                    piece
                        .steps
                        .into_iter()
                        .for_each(|step| super::escapes::note(&mut place.steps, step));
                    self.text(&piece.text, &place);
                }
            }
        }
    }

    /// `name += "…"`
    fn append(&mut self, folded: &Folded<'a>) {
        self.appends = false;
        let name = self.target;
        let (Some(Folded::Text(known)), Folded::Text(more)) = (self.collector.environment.get(name), folded) else {
            return self.collector.environment.forget(name);
        };
        let mut whole = known.clone();
        if !more.whole || !self.collector.charge(4 * (whole.text.len() + more.text.len()), 0) {
            return self.collector.environment.forget(name);
        }
        whole.text.to_mut().push_str(&more.text);
        super::escapes::note(&mut whole.steps, Step::Joined);
        let mut place = self.place();
        whole
            .steps
            .iter()
            .for_each(|step| super::escapes::note(&mut place.steps, step.clone()));
        let text = whole.text.clone();
        self.collector.environment.set(name, &Folded::Text(whole));
        self.text(&text, &place);
    }

    /// Takes a whole string in its place.
    fn text(&mut self, text: &str, place: &Context) {
        // Only a type beside it can tell what `url: "/asset/12"` is.
        if place.strength == Strength::Weak
            && address::is_rooted(text)
            && address::classify(text) == Class::Unknown
            && is_plain_key(self.key())
            && let Some(level) = self.levels.last_mut().filter(|level| level.open == b'{' && level.pending.len() < 8)
        {
            level.pending.push((text.to_owned(), place.clone()));
        }
        self.collector.string(text, place);
    }

    /// The key or the name that a value belongs to here.
    fn key(&self) -> &'a str {
        if !self.target.is_empty() {
            return self.target;
        }
        match self.levels.last() {
            Some(level) if level.open == b'{' => level.key,
            Some(level) if level.open == b'[' => level.owner,
            _ => "",
        }
    }

    /// Describes the place that a value stands in here.
    fn place(&mut self) -> Context {
        let mut place = self.outer.clone();
        place.strength = Strength::Weak;
        let key = self.key();
        let name = key.rsplit('.').next().unwrap_or_default();
        if let Some(level) = self.levels.last() {
            place.reasons.extend(level.reasons.iter().cloned());
            place.group = level.group;
        } else if place.group == 0 {
            place.group = self.collector.new_group();
        }
        let is_script = place.via == Via::ScriptString;
        let json_ld = matches!(place.via, Via::JsonLd(_));
        if json_ld {
            place.via = Via::JsonLd(name.to_owned());
            (place.strength, place.frame) = match name {
                "contentUrl" => (Strength::Certain, false),
                "embedUrl" => (Strength::Likely, true),
                _ => (Strength::Weak, false),
            };
            words::judge(name, Place::Key, &mut place.reasons);
            return place;
        }
        if !name.is_empty() {
            let owner = self
                .levels
                .last()
                .map_or("", |level| if level.open == b'{' { level.owner } else { "" });
            let kind = key_kind(name, owner);
            place.strength = kind.strength;
            place.hint = kind.hint;
            place.frame = kind.frame || (name.eq_ignore_ascii_case("src") && self.is_frame(key));
            if is_script && (kind.strength > Strength::Weak || kind.frame || place.frame) {
                place.via = Via::PlayerKey(name.to_owned());
            }
            words::judge(name, Place::Key, &mut place.reasons);
            if key.ends_with("location.href") || key == "location" || key.ends_with(".location") {
                (place.via, place.frame) = (Via::ScriptRedirect, true);
            }
            if !self.target.is_empty() {
                return place;
            }
        }
        self.call(&mut place, is_script);
        place
    }

    /// Whether `frame.src = …` means a frame.
    fn is_frame(&self, key: &str) -> bool {
        key.rsplit_once('.')
            .is_some_and(|(element, _)| element.to_ascii_lowercase().contains("frame") || self.collector.environment.is_frame(element))
    }

    /// What the call around a value says about it.
    fn call(&self, place: &mut Context, is_script: bool) {
        let mut levels = self.levels.iter().rev();
        let Some(inner) = levels.next() else { return };
        // The argument itself, or `url:` of an object that is the argument.
        let (level, key) = match inner.open {
            b'(' => (inner, ""),
            b'{' if inner.key.eq_ignore_ascii_case("url") => match levels.next() {
                Some(outer) if outer.open == b'(' => (outer, inner.key),
                _ => return,
            },
            _ => return,
        };
        if level.callee.is_empty() {
            return;
        }
        let callee = level.callee.to_ascii_lowercase();
        let method = callee.rsplit('.').next().unwrap_or_default();
        let object = callee.strip_suffix(method).unwrap_or_default();
        let requests = matches!(method, "fetch" | "getjson" | "ajax" | "axios")
            || matches!(callee.as_str(), "$.get" | "jquery.get" | "axios.get" | "$http.get" | "http.get")
            || (method == "open" && ["get", "GET"].contains(&level.argument));
        if requests {
            (place.via, place.frame) = (Via::Request(level.callee.to_owned()), true);
            return;
        }
        if !key.is_empty() {
            return;
        }
        let player = ["player", "video", "hls", "dash", "stream", "media"]
            .iter()
            .any(|word| object.contains(word));
        match method {
            "loadsource" | "attachsource" | "setsource" | "setsrc" | "loadvideo" | "playvideo" | "loadstream" | "playstream"
            | "setstream" | "loadmedia" | "setmedia" | "loadmanifest" | "setvideo" | "playm3u8" | "playhls" | "loadhls" => {
                place.strength = Strength::Certain;
            }
            "src" | "load" | "source" | "initialize" | "open" if player => place.strength = Strength::Likely,
            "setattribute" | "attr" | "prop" if matches!(level.argument, "src" | "data-src") => {
                place.strength = Strength::Likely;
                let element = object.trim_end_matches('.');
                place.frame = element.contains("frame")
                    || self
                        .collector
                        .environment
                        .is_frame(level.callee.rsplit_once('.').map_or("", |(element, _)| element));
            }
            "replace" | "assign" if object.ends_with("location.") => {
                (place.via, place.frame) = (Via::ScriptRedirect, true);
                return;
            }
            _ => return,
        }
        if is_script {
            place.via = Via::PlayerCall(level.callee.to_owned());
        }
    }

    /// Notes what a value says about those beside it: a type, a label, a kind.
    fn note_sibling(&mut self, text: &str) {
        let Some(level) = self.levels.last_mut().filter(|level| level.open == b'{' && text.len() <= 64) else {
            return;
        };
        match level.key.to_ascii_lowercase().as_str() {
            "type" | "mimetype" | "mime" | "contenttype" | "format" | "protocol" | "delivery" | "streamingformat" | "encodingformat" => {
                if let Class::Stream(hint) = address::classify_type(text) {
                    level.hint = hint;
                } else {
                    match text.to_ascii_lowercase().as_str() {
                        "hls" | "m3u8" | "application/hls" => level.hint = Hint::Hls,
                        "dash" | "mpd" => level.hint = Hint::Dash,
                        "mp4" | "progressive" => level.hint = Hint::Media("mp4".to_owned()),
                        other => against(other, &mut level.against),
                    }
                }
            }
            "kind" | "role" | "category" | "name" | "usage" | "purpose" => against(&text.to_ascii_lowercase(), &mut level.against),
            "label" | "quality" | "res" | "resolution" | "height" | "size" | "definition" => {
                level.height = level.height.or_else(|| height(text));
            }
            _ => {}
        }
    }

    fn number(&mut self, text: &str) {
        if let Some(level) = self.levels.last_mut().filter(|level| level.open == b'{')
            && ["height", "quality", "res", "resolution", "size", "label"]
                .iter()
                .any(|known| level.key.eq_ignore_ascii_case(known))
        {
            level.height = level.height.or_else(|| height(text));
        }
    }

    /// Punctuation: brackets, assignments, the end of a value.
    fn mark(&mut self, mark: u8, path: &'a str, before: Kind, lexer: &mut Lexer<'a>) {
        match mark {
            b'{' | b'[' | b'(' => self.open(mark, path, lexer),
            b'}' | b']' | b')' => {
                self.target = "";
                if self.beyond > 0 {
                    self.beyond -= 1;
                } else if let Some(level) = self.levels.pop() {
                    self.closed(level);
                }
            }
            b'=' if lexer.following() != Some(b'=') && lexer.following() != Some(b'>') => {
                if !path.is_empty() {
                    self.target = path;
                    self.appends = false;
                    self.assigned(path, *lexer);
                } else if before == Kind::Mark(b'+') && !self.target.is_empty() {
                    self.appends = true;
                }
            }
            b'+' if lexer.following() == Some(b'=') && !path.is_empty() => self.target = path,
            b'+' | b'?' | b':' | b'|' => {}
            _ => {
                self.target = "";
                self.appends = false;
                if (mark == b',' || mark == b';')
                    && let Some(level) = self.levels.last_mut()
                {
                    level.key = "";
                }
            }
        }
    }

    /// A name is assigned something: `x = document.createElement("iframe")`, or what is unknown.
    fn assigned(&mut self, name: &'a str, mut lexer: Lexer<'a>) {
        if lexer.comes("document.createElement") {
            for _ in 0..4 {
                lexer.next_code();
            }
            if lexer
                .next_code()
                .is_some_and(|token| token.kind == Kind::Text && token.text.eq_ignore_ascii_case("iframe"))
            {
                self.collector.environment.set_frame(name);
            }
        }
        self.collector.environment.forget(name);
    }

    fn open(&mut self, open: u8, path: &'a str, lexer: &Lexer<'a>) {
        if self.levels.len() >= LEVELS {
            self.beyond += 1;
            return;
        }
        let key = self.key();
        let owner = key.rsplit('.').next().unwrap_or_default();
        let name = match self.levels.last() {
            _ if open != b'{' => String::new(),
            _ if !self.target.is_empty() => self.target.to_owned(),
            Some(level) if !level.path.is_empty() && !level.key.is_empty() && level.path.len() < 64 => {
                format!("{}.{}", level.path, level.key)
            }
            _ => String::new(),
        };
        let mut reasons = self.levels.last().map_or_else(Vec::new, |level| level.reasons.clone());
        words::judge(owner, Place::Key, &mut reasons);
        let callee = if open == b'(' { path } else { "" };
        if callee.len() < 64 {
            words::judge(callee, Place::Key, &mut reasons);
        }
        let argument = if open == b'(' && matches!(lexer.upcoming(), Some(b'"' | b'\'')) {
            lexer
                .peek()
                .filter(|token| token.kind == Kind::Text && token.text.len() < 16)
                .map_or("", |token| token.text)
        } else {
            ""
        };
        let group = match self.levels.last() {
            Some(outer) if outer.open == b'[' && open == b'{' => outer.group,
            _ => self.collector.new_group(),
        };
        // A bracket without a key of its own belongs to what the one around it belongs to.
        let owner = match self.levels.last() {
            Some(level) if owner.is_empty() && level.open != b'(' => level.owner,
            _ => owner,
        };
        self.levels.push(Level {
            open,
            callee,
            argument,
            key: "",
            owner,
            path: name,
            reasons,
            group,
            first: self.collector.count(),
            hint: Hint::Unknown,
            height: None,
            against: None,
            pending: Vec::new(),
        });
        self.target = "";
    }

    /// Applies what an object said about itself.
    fn closed(&mut self, level: Level<'a>) {
        if level.open != b'{' {
            return;
        }
        if level.hint != Hint::Unknown {
            for (text, mut place) in level.pending {
                (place.strength, place.hint) = (Strength::Likely, level.hint.clone());
                self.collector.offer(&text, &place);
            }
        }
        if level.hint != Hint::Unknown || level.height.is_some() || level.against.is_some() {
            self.collector.amend(level.first, &level.hint, level.height, level.against.as_ref());
        }
    }

    /// Past `function`: the rest of a packed script, unpacked and read.
    fn packed(&mut self, lexer: Lexer<'a>) -> Option<Lexer<'a>> {
        let mut ahead = lexer;
        for expected in ["(", "p", ",", "a", ",", "c", ",", "k", ",", "e", ","] {
            if ahead.next_code()?.text != expected {
                return None;
            }
        }
        if self.collector.unpack_failures >= UNPACK_FAILURES {
            return None;
        }
        match packed::unpack(ahead, self.collector.allowance()) {
            Ok((script, after)) => {
                let inner = self.outer.deeper(Step::Unpacked);
                if self.collector.charge(script.len(), inner.depth) {
                    self.collector.read_script(&script, &inner);
                }
                Some(after)
            }
            Err(refused) => {
                self.collector.unpack_failures += 1;
                if refused == packed::Refused::TooLong {
                    self.collector.cut(Cut::Decoding);
                }
                None
            }
        }
    }

    fn comment(&mut self, text: &str) {
        if address::next_marker(text, 0).is_some() {
            let mut place = Context {
                via: Via::Comment,
                strength: Strength::Weak,
                ..self.outer.clone()
            };
            place.reasons.push(Reason::Commented);
            self.collector.sweep(text, &place);
        }
    }
}
