//! Aligned tables and lists of fields.
//!
//! Widths are counted in characters of sanitised text, colours are put on afterwards, so that
//! neither moves a column.

use super::sanitize;

/// A table under construction; every row has as many cells as there are columns.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    title: &'static str,
    align: Align,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// What a cell's text means for its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
    Dim,
}

/// Text with its tone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// Whether tones become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Never,
    Ansi,
}

impl Table {
    /// Titles of the columns; one that begins with `>` is aligned to the right.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_prefix('>') {
            Some(title) => Column { title, align: Align::Right },
            None => Column { title, align: Align::Left },
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "one cell per column");
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn render(&self, colour: Colour) -> String {
        let width = |at: usize, column: &Column| {
            let cells = self.rows.iter().map(|row| row[at].width());
            cells.chain([column.title.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(at, column)| width(at, column)).collect();
        let titles: Vec<Cell> = self.columns.iter().map(|column| Cell::dim(column.title)).collect();
        let mut text = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let line: Vec<String> = (0..row.len())
                .map(|at| row[at].padded(widths[at], self.columns[at].align, colour))
                .collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

impl Cell {
    pub(crate) fn new(text: impl ToString) -> Self {
        Self::toned(text, Tone::Plain)
    }

    pub(crate) fn dim(text: impl ToString) -> Self {
        Self::toned(text, Tone::Dim)
    }

    pub(crate) fn toned(text: impl ToString, tone: Tone) -> Self {
        Self { text: sanitize::one_line(&text.to_string()), tone }
    }

    /// `-` for what is not there.
    pub(crate) fn or_dash(text: Option<impl ToString>) -> Self {
        match text.map(|text| text.to_string()).filter(|text| !text.is_empty()) {
            Some(text) => Self::new(text),
            None => Self::dim("-"),
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn padded(&self, width: usize, align: Align, colour: Colour) -> String {
        let pad = " ".repeat(width.saturating_sub(self.width()));
        let text = self.tone.paint(&self.text, colour);
        match align {
            Align::Left => format!("{text}{pad}"),
            Align::Right => format!("{pad}{text}"),
        }
    }
}

impl Tone {
    /// `text` in the tone's colour, when there are colours.
    pub(crate) fn paint(self, text: &str, colour: Colour) -> String {
        let code = match (colour, self) {
            (Colour::Never, _) | (_, Self::Plain) => return text.to_owned(),
            (Colour::Ansi, Self::Good) => "32",
            (Colour::Ansi, Self::Warn) => "33",
            (Colour::Ansi, Self::Bad) => "31",
            (Colour::Ansi, Self::Dim) => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// `name: value` lines of one thing, with the values in a column.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    fields: Vec<(&'static str, Cell)>,
}

impl Fields {
    pub(crate) fn push(&mut self, name: &'static str, value: Cell) -> &mut Self {
        self.fields.push((name, value));
        self
    }

    pub(crate) fn render(&self, colour: Colour) -> String {
        let width = self.fields.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
        let line = |(name, value): &(&str, Cell)| {
            let name = Cell::dim(format!("{name}:")).padded(width, Align::Left, colour);
            format!("{name}  {}\n", value.tone.paint(&value.text, colour))
        };
        self.fields.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", ">CPUS", "STATE", "HOST"]);
        let row = |name: &str, cpus: u32, state, tone, host: Option<&str>| {
            vec![Cell::new(name), Cell::new(cpus), Cell::toned(state, tone), Cell::or_dash(host)]
        };
        table.row(row("web1", 2, "running", Tone::Good, Some("hünd-1")));
        table.row(row("a-much-longer-name", 128, "failed", Tone::Bad, None));
        table.row(row("evil\x1b[31m\n", 1, "stopped", Tone::Plain, Some("")));
        table
    }

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_space() {
        insta::assert_snapshot!(table().render(Colour::Never), @r"
        NAME                CPUS  STATE    HOST
        web1                   2  running  hünd-1
        a-much-longer-name   128  failed   -
        evil\x1b[31m           1  stopped  -
        ");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let plain = table().render(Colour::Never);
        let mut coloured = table().render(Colour::Ansi);
        assert!(coloured.contains("\x1b[32mrunning\x1b[0m"));
        for code in ["\x1b[0m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
            coloured = coloured.replace(code, "");
        }
        assert_eq!(coloured, plain);
    }

    #[test]
    fn fields_line_up() {
        let mut fields = Fields::default();
        fields.push("name", Cell::new("web1")).push("created", Cell::new("3m"));
        assert_eq!(fields.render(Colour::Never), "name:     web1\ncreated:  3m\n");
    }
}
