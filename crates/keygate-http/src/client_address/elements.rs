//! The elements of a forwarding header's line, from right to left.

use super::ForwardingHeader;

/// Walks a line from its right end. What a proxy appended is found by itself, without reading what the client may
/// have written left of it: read from the left, one open quote of the client's would swallow the proxy's element.
pub(super) struct RightToLeft<'a> {
    rest: Option<&'a [u8]>,
    header: ForwardingHeader,
}

impl<'a> RightToLeft<'a> {
    pub(super) fn new(line: &'a [u8], header: ForwardingHeader) -> Self {
        Self { rest: Some(line), header }
    }
}

impl<'a> Iterator for RightToLeft<'a> {
    /// Where the element begins in the line, and the element with the whitespace around it.
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let comma = match self.header {
            ForwardingHeader::XForwardedFor => rest.iter().rposition(|byte| *byte == b','),
            ForwardingHeader::Forwarded => last_unquoted_comma(rest),
        };
        self.rest = comma.map(|comma| &rest[..comma]);
        let start = comma.map_or(0, |comma| comma + 1);
        Some((start, &rest[start..]))
    }
}

/// Quotes come in pairs from the right end, too, and a quote within a quoted string has an odd number of backslashes
/// before it, from whichever side it is read.
fn last_unquoted_comma(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut at = line.len();
    while let Some(before) = at.checked_sub(1) {
        at = before;
        match line[at] {
            b',' if !quoted => return Some(at),
            b'"' => {
                let backslashes = line[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
                if backslashes % 2 == 0 {
                    quoted = !quoted;
                }
                at -= backslashes;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(line: &str, header: ForwardingHeader) -> Vec<String> {
        RightToLeft::new(line.as_bytes(), header).map(|(_, e)| String::from_utf8_lossy(e).into_owned()).collect()
    }

    #[test]
    fn a_line_is_walked_from_the_right_and_empty_elements_are_elements() {
        assert_eq!(elements("a, b,,c", ForwardingHeader::XForwardedFor), ["c", "", " b", "a"]);
        assert_eq!(elements("", ForwardingHeader::XForwardedFor), [""]);
        assert_eq!(RightToLeft::new(b"ab,c", ForwardingHeader::Forwarded).next(), Some((3, &b"c"[..])));
    }

    #[test]
    fn commas_within_quotes_do_not_divide() {
        let elements = |line| elements(line, ForwardingHeader::Forwarded);
        assert_eq!(elements(r#"for="a,b", for=c"#), [" for=c", r#"for="a,b""#]);
        assert_eq!(elements(r#"for="a\",b", for=c"#), [" for=c", r#"for="a\",b""#]);
        assert_eq!(elements(r#"for="a\\", for=c"#), [" for=c", r#"for="a\\""#]);
    }

    #[test]
    fn an_open_quote_does_not_reach_into_what_is_appended() {
        for prefix in [r#"for="evil"#, r#"for="evil\"#, r#"""#, r#"\"#, r#"for="a\\\"#, ",,\"\\\","] {
            for appended in ["for=192.0.2.1", r#"for="[2001:db8::1]:80""#, r#"for="a\",b";by="x,y""#] {
                let line = format!("{prefix},{appended}");
                assert_eq!(elements(&line, ForwardingHeader::Forwarded)[0], appended, "{line}");
            }
        }
    }
}
