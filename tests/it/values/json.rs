//! JSON as the comparison wants it: digits are kept, the order of an object's keys does not count,
//! lone surrogates and any depth are taken.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Json {
    Word(String),
    /// As written; where that is with an exponent, or the zero of a float, by its value.
    Number(String),
    /// UTF-16, since an escape may be half of a pair.
    String(Vec<u16>),
    Array(Vec<Json>),
    /// Sorted; a key may be there twice.
    Object(Vec<(Vec<u16>, Json)>),
}

/// As JSON is read, for a test that failed.
impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |units: &[u16]| String::from_utf16_lossy(units);
        match self {
            Json::Word(word) | Json::Number(word) => f.write_str(word),
            Json::String(units) => write!(f, "{:?}", text(units)),
            Json::Array(items) => f.debug_list().entries(items).finish(),
            Json::Object(members) => {
                let members = members.iter().map(|(name, value)| (text(name), value));
                f.debug_map().entries(members).finish()
            }
        }
    }
}

impl Json {
    #[track_caller]
    pub fn parse(text: &str) -> Json {
        let mut rest = text.chars().peekable();
        let json = value(&mut rest);
        blanks(&mut rest);
        assert_eq!(rest.next(), None, "after the JSON {text}");
        json
    }

    /// The member of an object that is one.
    pub fn find(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else {
            panic!("{self:?} is no object");
        };
        let name: Vec<u16> = name.encode_utf16().collect();
        let found = members.iter().find(|(member, _)| *member == name);
        found.map(|(_, value)| value)
    }

    /// The member, which is there.
    pub fn member(&self, name: &str) -> &Json {
        let found = self.find(name);
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn members(&self) -> Vec<(String, Json)> {
        let Json::Object(members) = self else {
            panic!("{self:?} is no object");
        };
        let members = members.iter().cloned();
        let text = |name: Vec<u16>| String::from_utf16(&name).expect("a name");
        members.map(|(name, value)| (text(name), value)).collect()
    }

    pub fn items(&self) -> &[Json] {
        let Json::Array(items) = self else {
            panic!("{self:?} is no array");
        };
        items
    }

    pub fn text(&self) -> String {
        let Json::String(units) = self else {
            panic!("{self:?} is no string");
        };
        String::from_utf16(units).expect("a text")
    }
}

fn blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
}

fn value(rest: &mut Peekable<Chars<'_>>) -> Json {
    blanks(rest);
    match rest.peek().expect("a value") {
        '"' => Json::String(string(rest)),
        '[' => Json::Array(items(rest, ']', value)),
        '{' => {
            let mut members = items(rest, '}', |rest| {
                blanks(rest);
                let key = string(rest);
                blanks(rest);
                assert_eq!(rest.next(), Some(':'));
                (key, value(rest))
            });
            members.sort();
            Json::Object(members)
        }
        _ => {
            let mut word = String::new();
            while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c)) {
                word.push(c);
            }
            match word.as_str() {
                "null" | "true" | "false" => Json::Word(word),
                _ => Json::Number(number(&word)),
            }
        }
    }
}

fn items<T>(
    rest: &mut Peekable<Chars<'_>>,
    end: char,
    item: impl Fn(&mut Peekable<Chars<'_>>) -> T,
) -> Vec<T> {
    rest.next();
    let mut items = Vec::new();
    loop {
        blanks(rest);
        if items.is_empty() && rest.next_if_eq(&end).is_some() {
            return items;
        }
        items.push(item(rest));
        blanks(rest);
        match rest.next() {
            Some(',') => {}
            other => {
                assert_eq!(other, Some(end));
                return items;
            }
        }
    }
}

fn string(rest: &mut Peekable<Chars<'_>>) -> Vec<u16> {
    assert_eq!(rest.next(), Some('"'));
    let mut units = Vec::new();
    loop {
        let c = match rest.next().expect("the string's end") {
            '"' => return units,
            '\\' => match rest.next().expect("an escape") {
                'u' => {
                    let digits: String = rest.take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).expect("four digits"));
                    continue;
                }
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                same => same,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
}

/// `1e+20` and `100000000000000000000` are one number, `1.10` and `1.1` are not.
fn number(word: &str) -> String {
    assert!(word.parse::<f64>().is_ok(), "{word} is no number");
    let Some((mantissa, exponent)) = word.split_once(['e', 'E']) else {
        return if word == "-0" { "0" } else { word }.to_owned();
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().expect("an exponent");
    let digits = format!("{whole}{fraction}");
    let point = i32::try_from(whole.len()).expect("few digits") + exponent;
    let plain = match usize::try_from(point) {
        Ok(point) if point >= digits.len() => digits.clone() + &"0".repeat(point - digits.len()),
        Ok(point) if point > 0 => format!("{}.{}", &digits[..point], &digits[point..]),
        _ => format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
    };
    format!("{sign}{plain}")
}
