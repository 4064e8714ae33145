//! A `log_format` string -> a layout, which takes a line apart into the values of its variables.

use crate::logs::access::{Values, Var};
use crate::logs::{stamp, text};
use memchr::memmem::Finder;

/// A variable of a layout and the text that stands after it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    var: Var,
    then: Vec<u8>,
    /// Finds `then`.
    find: Finder<'static>,
}

/// A `log_format` made ready to read lines with.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) lead: Vec<u8>,
    pub(super) parts: Vec<Part>,
    /// Defined by the case.
    pub(super) own: bool,
}

impl Layout {
    /// Compiles a format string (nginx.org ngx_http_log_module, `log_format`); `None` where it has no variable.
    pub(super) fn compile(format: &str) -> Option<Self> {
        let bytes = format.as_bytes();
        let mut layout = Self {
            lead: Vec::new(),
            parts: Vec::new(),
            own: false,
        };
        let mut at = 0;
        while let Some(c) = bytes.get(at) {
            if *c == b'$' {
                let braced = bytes.get(at + 1) == Some(&b'{');
                let from = at + 1 + usize::from(braced);
                let len = bytes[from.min(bytes.len())..]
                    .iter()
                    .take_while(|c| c.is_ascii_alphanumeric() || **c == b'_')
                    .count();
                if len > 0 {
                    let name = format.get(from..from + len)?.to_owned();
                    let var = Var::of_variable(&name);
                    // Two variables without text between them can't be told apart.
                    match layout.parts.last_mut().filter(|p| p.then.is_empty()) {
                        Some(last) => {
                            last.var = joined(last, &name, var);
                            last.name.push('+');
                            last.name.push_str(&name);
                        }
                        None => layout.parts.push(Part {
                            name,
                            var,
                            then: Vec::new(),
                            find: Finder::new(b"").into_owned(),
                        }),
                    }
                    at = from + len + usize::from(braced && bytes.get(from + len) == Some(&b'}'));
                    continue;
                }
            }
            match layout.parts.last_mut() {
                Some(part) => part.then.push(*c),
                None => layout.lead.push(*c),
            }
            at += 1;
        }
        for part in &mut layout.parts {
            part.find = Finder::new(&part.then).into_owned();
        }
        (!layout.parts.is_empty()).then_some(layout)
    }

    /// Calls `each` with a part's index and value; gives what is left after the last part (`prefix`), else wants the whole line.
    pub(super) fn walk<'a>(
        &self,
        line: &'a [u8],
        prefix: bool,
        each: &mut dyn FnMut(usize, &'a [u8]),
    ) -> Option<&'a [u8]> {
        let mut rest = line.strip_prefix(self.lead.as_slice())?;
        let last = self.parts.len().saturating_sub(1);
        for (i, part) in self.parts.iter().enumerate() {
            let end = if part.then.is_empty() {
                if prefix {
                    rest.iter().position(|c| *c == b' ').unwrap_or(rest.len())
                } else {
                    rest.len()
                }
            } else {
                end_of(part, rest, i == last)?
            };
            let value = &rest[..end];
            each(i, value);
            rest = &rest[end + part.then.len()..];
        }
        (prefix || rest.is_empty()).then_some(rest)
    }

    pub(super) fn read<'a>(&self, line: &'a [u8], prefix: bool) -> Option<(Values<'a>, &'a [u8])> {
        let mut values = Values::new();
        let mut wrong = false;
        let rest = self.walk(line, prefix, &mut |i, value| {
            let part = self.parts.get(i);
            let var = part.map_or(Var::Gap, |p| p.var);
            // `$host$request_uri`: the path begins at its slash.
            let value = if var == Var::Uri && part.is_some_and(|p| p.name.contains('+')) {
                &value[memchr::memchr(b'/', value).unwrap_or(0)..]
            } else {
                value
            };
            wrong |= match var {
                Var::Status => text::any_status(value).is_none() && text::present(value).is_some(),
                Var::RemoteAddr => value.is_empty() || memchr::memchr(b' ', value).is_some(),
                Var::Time => value.len() < 20,
                Var::Msec => stamp::epoch(value).is_none(),
                Var::RequestTime | Var::SessionTime => {
                    text::present(value).is_some() && stamp::seconds(value).is_none()
                }
                Var::BodyBytesSent | Var::BytesSent | Var::Serial => {
                    text::present(value).is_some() && text::unsigned(value).is_none()
                }
                _ => false,
            };
            values.set(var, value);
        })?;
        (!wrong).then_some((values, rest))
    }
}

/// What two variables without text between them are together: a query belongs to its path, and a path begins with its slash.
fn joined(last: &Part, name: &str, var: Var) -> Var {
    let host = matches!(last.name.as_str(), "host" | "http_host" | "server_name");
    match (last.var, var) {
        (Var::Uri, _) if matches!(name, "is_args" | "args" | "query_string") => Var::Uri,
        (_, Var::Uri) if host => Var::Uri,
        _ => Var::Gap,
    }
}

/// Where a part's value ends in `rest`.
fn end_of(part: &Part, rest: &[u8], last: bool) -> Option<usize> {
    let mut from = 0;
    if part.var == Var::Time && part.then.first() == Some(&b' ') {
        // `$time_local` has a blank in it.
        from = if rest.get(2) == Some(&b'/') { 26 } else { 0 };
    }
    if part.then[0] == b'"' {
        // nginx writes a quote inside a value as `\x22` or `\"`: the first bare one ends it.
        let at = text::quoted(rest, b'"')?;
        let fits =
            rest[at..].starts_with(&part.then) && (!last || at + part.then.len() == rest.len());
        return fits.then_some(at);
    }
    loop {
        let at = from
            + match part.then.as_slice() {
                [one] => memchr::memchr(*one, rest.get(from..)?)?,
                _ => part.find.find(rest.get(from..)?)?,
            };
        // Lists of upstreams have blanks in them: `a, b : c`.
        if part.then[0] == b' ' && at > 0 {
            let listed = rest[at - 1] == b','
                || rest[at..].starts_with(b" : ")
                || rest[..at].ends_with(b" :");
            if listed {
                from = at + 1;
                continue;
            }
        }
        // The text that ends the line has to end it.
        if last && at + part.then.len() != rest.len() {
            from = at + 1;
            continue;
        }
        return Some(at);
    }
}
