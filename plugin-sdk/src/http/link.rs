//! The header `Link` (RFC 8288), as far as paging needs it: the target of `rel="next"`.

/// The target of the first link of a header `Link` whose relation types include `next`. Single quotes, which
/// some servers write, count as double ones.
#[must_use]
pub fn next(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let start = rest.find('<')?;
        rest = rest.get(start + 1..)?;
        let end = rest.find('>')?;
        let target = rest.get(..end)?;
        rest = rest.get(end + 1..)?;
        let mut next = false;
        while let Some(after) = rest.trim_start().strip_prefix(';') {
            let (parameter, after) = after.split_at(end_of_parameter(after));
            next |= is_next(parameter);
            rest = after;
        }
        if next {
            return Some(target);
        }
    }
}

/// Where the comma or semicolon is that ends this parameter: the first outside of quotes.
fn end_of_parameter(text: &str) -> usize {
    let mut quote = None;
    let mut escaped = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote.is_some() => escaped = true,
            _ if quote == Some(c) => quote = None,
            '"' if quote.is_none() => quote = Some(c),
            // Some servers write these for the others; within a word it is an apostrophe.
            '\'' if quote.is_none() && before == '=' => quote = Some(c),
            ',' | ';' if quote.is_none() => return at,
            _ => {}
        }
        if !c.is_whitespace() {
            before = c;
        }
    }
    text.len()
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let mut types = value
        .trim()
        .trim_matches(['"', '\''])
        .split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel") && types.any(|t| t.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn headers() {
        for (header, expected) in [
            (
                "<https://h/?page=2>; rel=\"next\"",
                Some("https://h/?page=2"),
            ),
            ("<https://h/?page=2>; rel=next", Some("https://h/?page=2")),
            (
                "</a>; rel=\"prev\", </b>; rel=\"next\", </c>; rel=\"last\"",
                Some("/b"),
            ),
            ("</a>; title=\"x, <y>; rel=next\"; rel=prev", None),
            (
                "</a>; title=\"x; rel=next\\\"; rel=next\", </b>; rel=next",
                Some("/b"),
            ),
            ("</a> ; rel=next ; title=x", Some("/a")),
            ("</a?x=1,2>; rel=\"last next\"", Some("/a?x=1,2")),
            ("</a>;REL=Next", Some("/a")),
            ("</a?x='1'>; rel='next'", Some("/a?x='1'")),
            (
                "</a>; title='b, c; rel=next', </b>; rel = 'last next'",
                Some("/b"),
            ),
            ("</a>; title=it's; rel=next", Some("/a")),
            ("</a>; rel=\"nextish\"", None),
            ("</a>", None),
            ("", None),
            ("<", None),
        ] {
            assert_eq!(next(header), expected, "{header}");
        }
    }
}
