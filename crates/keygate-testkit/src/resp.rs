//! Where one message of the Redis protocol ends and the next begins.
//!
//! Source: the RESP2 and RESP3 specifications. Requests are arrays of bulk strings and need no rules of
//! their own.

/// Finds message ends in a stream, reading each byte once however it is cut into chunks.
#[derive(Debug, Default)]
pub(crate) struct MessageScanner {
    /// How far into the buffer the current message has been read.
    at: usize,
    /// The aggregates that are open at that point, outermost first.
    open: Vec<Aggregate>,
}

#[derive(Debug)]
struct Aggregate {
    left: u64,
    /// An attribute precedes the value it describes: when it closes, that value is still to come.
    is_attribute: bool,
}

impl MessageScanner {
    /// The length of the first message in `buffer`, once all of it is there. The caller takes that many
    /// bytes away before the next call, and otherwise only ever adds to the end.
    ///
    /// What is not RESP counts as one message, as long as it happens to be.
    pub(crate) fn next(&mut self, buffer: &[u8]) -> Option<usize> {
        loop {
            let rest = buffer.get(self.at..)?;
            let line_end = rest.windows(2).position(|pair| pair == b"\r\n")?;
            let Some(header) = Header::parse(&rest[..line_end]) else {
                return self.finish(buffer.len());
            };
            let body = match header {
                Header::Bulk(length) => usize::try_from(length).ok()?.checked_add(2)?,
                _ => 0,
            };
            let end = line_end + 2 + body;
            if rest.len() < end {
                return None;
            }
            self.at += end;
            match header {
                Header::Aggregate { left, is_attribute } if left > 0 => {
                    self.open.push(Aggregate { left, is_attribute });
                }
                Header::Aggregate { is_attribute: true, .. } => {}
                _ if self.close_value() => return self.finish(self.at),
                _ => {}
            }
        }
    }

    /// Counts one complete value; true if the whole message is complete with it.
    fn close_value(&mut self) -> bool {
        while let Some(innermost) = self.open.last_mut() {
            innermost.left -= 1;
            if innermost.left > 0 || self.open.pop().is_some_and(|closed| closed.is_attribute) {
                return false;
            }
        }
        true
    }

    fn finish(&mut self, length: usize) -> Option<usize> {
        *self = Self::default();
        Some(length)
    }
}

/// Whether a message is one the server sent unasked, as RESP3 marks them.
pub(crate) fn is_push(message: &[u8]) -> bool {
    message.first() == Some(&b'>')
}

enum Header {
    Line,
    Bulk(u64),
    Aggregate { left: u64, is_attribute: bool },
}

impl Header {
    fn parse(line: &[u8]) -> Option<Self> {
        let (kind, rest) = line.split_first()?;
        let number = || std::str::from_utf8(rest).ok()?.parse::<i64>().ok();
        let aggregate = |per_entry: u64, is_attribute| {
            let left = u64::try_from(number()?).unwrap_or(0).checked_mul(per_entry)?;
            Some(Self::Aggregate { left, is_attribute })
        };
        match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Some(Self::Line),
            // A negative length is RESP2's nil: no body, not even an empty one.
            b'$' | b'=' | b'!' => Some(u64::try_from(number()?).map_or(Self::Line, Self::Bulk)),
            b'*' | b'~' | b'>' => aggregate(1, false),
            b'%' => aggregate(2, false),
            b'|' => aggregate(2, true),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &[&[u8]] = &[
        b"+OK\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"$0\r\n\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*3\r\n:1\r\n*2\r\n+a\r\n*0\r\n_\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n#t\r\n",
        b"|1\r\n+ttl\r\n:9\r\n*1\r\n|1\r\n+x\r\n,0.5\r\n$2\r\nhi\r\n",
        b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        b"=8\r\ntxt:abcd\r\n",
    ];

    #[test]
    fn every_message_ends_where_it_ends() {
        let stream = MESSAGES.concat();
        let mut scanner = MessageScanner::default();
        let mut rest = &stream[..];
        for message in MESSAGES {
            assert_eq!(scanner.next(rest), Some(message.len()), "{}", message.escape_ascii());
            rest = &rest[message.len()..];
        }
        assert_eq!(scanner.next(rest), None);
    }

    #[test]
    fn chunks_of_one_byte_change_nothing() {
        let mut scanner = MessageScanner::default();
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        for byte in MESSAGES.concat() {
            buffer.push(byte);
            if let Some(length) = scanner.next(&buffer) {
                seen.push(buffer.drain(..length).collect::<Vec<_>>());
            }
        }
        assert_eq!(seen, MESSAGES);
    }

    #[test]
    fn what_is_not_resp_is_one_message() {
        let mut scanner = MessageScanner::default();
        let text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(scanner.next(text), Some(text.len()));
    }
}
