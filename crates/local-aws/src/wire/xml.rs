//! Writing XML: elements and text, nothing else.

/// A growing XML text.
#[derive(Debug, Default)]
pub(crate) struct Xml(String);

impl Xml {
    /// An element with what `fill` writes into it.
    pub fn element(&mut self, name: &str, fill: impl FnOnce(&mut Xml)) -> &mut Xml {
        self.0.push_str(&format!("<{name}>"));
        fill(self);
        // The closing tag has no attributes.
        let bare = name.split(' ').next().unwrap_or(name);
        self.0.push_str(&format!("</{bare}>"));
        self
    }

    /// An element with text.
    pub fn text(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Xml {
        let value = escape(&value.to_string());
        self.0.push_str(&format!("<{name}>{value}</{name}>"));
        self
    }

    /// An element with text, when there is any.
    pub fn optional(&mut self, name: &str, value: Option<impl std::fmt::Display>) -> &mut Xml {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// The document.
    pub fn finish(self) -> String {
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}", self.0)
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_text() {
        let mut xml = Xml::default();
        xml.element("A xmlns=\"u\"", |xml| {
            xml.text("B", "<&\">").optional("C", None::<u8>);
        });
        assert!(
            xml.finish()
                .ends_with("<A xmlns=\"u\"><B>&lt;&amp;&quot;&gt;</B></A>")
        );
    }
}
