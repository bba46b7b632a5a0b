use super::*;

const LOOK: Look = Look { color: false, ascii: false, width: 80 };
const COLUMNS: &[Column] = &[
    Column::text("key", hue::KEY).cut(),
    Column::number("len", hue::PLAIN),
    Column::number("seq", hue::DIM).leaves(2),
    Column::number("age", hue::DIM).leaves(1),
    Column::text("value", hue::VALUE).cut(),
];

fn text(table: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    table(&mut out).expect("a vector accepts every write");
    String::from_utf8(out).expect("cells are UTF-8")
}

fn drawn<const N: usize>(columns: &[Column], rows: &[[&str; N]], look: Look) -> String {
    text(|out| {
        let mut table = Table::new(columns, look);
        rows.iter().try_for_each(|row| table.row(out, row.map(str::to_owned)))?;
        table.end(out)
    })
}

#[test]
fn columns_are_aligned_by_display_width_and_no_line_ends_in_blanks() {
    let rows = [["a", "5", "1", "2", "x"], ["日本", "1,000", "2", "3", "yy zz"], ["b", "5", "1", "2", ""]];
    let text = "key     len  seq  age  value\n\
                ────────────────────────────\n\
                a         5    1    2  x\n\
                日本  1,000    2    3  yy zz\n\
                b         5    1    2\n";
    assert_eq!(drawn(COLUMNS, &rows, LOOK), text);
    let ascii = drawn(COLUMNS, &rows, Look { ascii: true, ..LOOK });
    assert_eq!(ascii.lines().nth(1), Some("-".repeat(28).as_str()));
    assert_eq!(drawn::<5>(COLUMNS, &[], LOOK), "", "a table without rows has no heading");
}

#[test]
fn no_line_is_wider_than_the_screen_and_a_cell_is_cut_at_its_width() {
    let long = "two words and more of them, ".repeat(20);
    for width in 20..100 {
        let row = [&long, "5", "100", "200", &"日本".repeat(99)];
        let text = drawn(COLUMNS, &[row], Look { width, ..LOOK });
        let row = text.lines().nth(2).expect("the third line is the row");
        let left_out = text.lines().skip(3).collect::<Vec<_>>().join(" ");
        assert!(left_out.is_empty() || left_out.starts_with("no room for "), "{text}");
        assert!(text.lines().all(|line| line.width() <= width), "{text}");
        assert!(row.width() + 3 > width && row.ends_with('…'), "{text}");
    }
}

#[test]
fn columns_are_left_out_one_by_one_on_narrower_screens() {
    let rows = [["a long enough key", "5", "1,000,000", "2,000,000", "and a long value"]];
    let heads = [80, 50, 40].map(|width| {
        let text = drawn(COLUMNS, &rows, Look { width, ..LOOK });
        let head = text.lines().next().expect("the first line is the head");
        head.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    assert_eq!(heads, ["key len seq age value", "key len age value", "key len value"]);
    let text = drawn(COLUMNS, &rows, Look { width: 40, ..LOOK });
    let said = text.lines().skip(3).collect::<Vec<_>>().join(" ");
    assert_eq!(said, "no room for seq, age: a wider terminal or --json shows them");
}

#[test]
fn an_optional_column_is_left_out_before_another_is_cut() {
    let columns = [
        Column::text("key", hue::PLAIN).cut(),
        Column::number("seq", hue::PLAIN).leaves(2),
        Column::number("offset", hue::PLAIN).leaves(1),
    ];
    let rows = [["a long enough key", "1,000,000", "0x000040"]];
    let rule = "─".repeat(22);
    let note = "no room for seq: a\nwider terminal or\n--json shows it";
    let text = format!("key             offset\n{rule}\na long enou…  0x000040\n{note}\n");
    assert_eq!(drawn(&columns, &rows, Look { width: 22, ..LOOK }), text);
}

#[test]
fn a_column_takes_a_shorter_form_before_one_of_a_lower_rank_is_left_out() {
    let columns = [
        Column::number("n", hue::PLAIN).leaves(1),
        Column::text("time", hue::PLAIN).shortens(3, Some(2)),
        Column::text("state", hue::PLAIN),
    ];
    let row = |width| {
        let cells = [Cell::from("1"), Cell::from("05:56:40.812").or("05:56:40"), Cell::from("LIVE")];
        let text = text(|out| {
            let mut table = Table::new(&columns, Look { width, ..LOOK });
            table.row(out, cells)?;
            table.end(out)
        });
        text.lines().nth(2).map(str::to_owned)
    };
    let rows = [22, 21, 18, 17, 8, 7].map(|width| row(width).expect("the third line is the row"));
    let (full, seconds, none) = ("1  05:56:40.812  LIVE", "1  05:56:40  LIVE", "1  LIVE");
    assert_eq!(rows, [full, seconds, seconds, none, none, "LIVE"]);
}

#[test]
fn a_cell_that_can_be_cut_makes_room_for_one_that_cannot() {
    let columns = [
        Column::text("time", hue::PLAIN),
        Column::text("value", hue::PLAIN).cut(),
        Column::text("state", hue::PLAIN),
    ];
    let text =
        drawn(&columns, &[["2026-01-01 00:00:00", "a long value", "LIVE"]], Look { width: 32, ..LOOK });
    assert_eq!(text.lines().last(), Some("2026-01-01 00:00:00  a l…  LIVE"));
}

#[test]
fn later_rows_are_cut_to_the_widths_of_the_measured_ones_but_numbers_stay_whole() {
    let columns = [
        Column::text("key", hue::PLAIN).cut(),
        Column::number("len", hue::PLAIN),
        Column::text("value", hue::PLAIN),
    ];
    let text = text(|out| {
        let mut table = Table::new(&columns, LOOK).measuring(2);
        table.row(out, ["k", "1", "v"])?;
        assert!(out.is_empty(), "the first row waits for the second");
        table.row(out, ["k", "1", "v"])?;
        assert_eq!(String::from_utf8_lossy(out).lines().count(), 4);
        table.row(out, ["a key", "1,000", "value"])?;
        table.end(out)
    });
    assert_eq!(text.lines().last(), Some("a …  1,000  value"));
}

#[test]
fn text_in_the_last_column_gets_the_rest_of_the_line_and_an_empty_column_gets_nothing() {
    let columns = [
        Column::text("", hue::PLAIN),
        Column::number("n", hue::PLAIN),
        Column::text("value", hue::PLAIN).cut(),
    ];
    let text = text(|out| {
        let mut table = Table::new(&columns, Look { width: 20, ..LOOK });
        table.row(out, ["", "1", "v"])?;
        table.flush(out)?;
        table.row(out, ["", "2", "a longer value that is cut"])?;
        table.end(out)
    });
    assert_eq!(text, "n  value\n────────\n1  v\n2  a longer value t…\n");
}

#[test]
fn an_expected_width_is_reserved_only_if_more_rows_may_follow() {
    let columns = [Column::number("n", hue::PLAIN).expecting(9), Column::text("value", hue::PLAIN)];
    for (flushes, last) in [(false, "1  v"), (true, "        1  v")] {
        let text = text(|out| {
            let mut table = Table::new(&columns, LOOK);
            table.row(out, ["1", "v"])?;
            if flushes {
                table.flush(out)?;
            }
            table.end(out)
        });
        assert_eq!(text.lines().last(), Some(last));
    }
}

#[test]
fn a_wrapped_cell_shows_every_word() {
    let columns = [Column::text("name", hue::PLAIN), Column::text("is", hue::PLAIN).wrapped()];
    let text = text(|out| {
        let mut table = Table::new(&columns, Look { width: 30, ..LOOK }).headless();
        table.row(out, ["a", "one two three four five six seven eight"])?;
        table.end(out)
    });
    assert_eq!(text, "a  one two three four five six\n   seven eight\n");
}

#[test]
fn free_text_starts_at_its_column_and_keeps_the_first_cell_on_a_narrow_screen() {
    let columns = [
        Column::number("#", hue::DIM).leaves(1),
        Column::text("offset", hue::DIM).wide(10),
        Column::text("state", hue::DIM),
    ];
    let drawn = |width| {
        text(|out| {
            let mut table = Table::new(&columns, Look { width, ..LOOK });
            table.row(out, ["10", "0x40", "LIVE"])?;
            let cells = vec!["!".into(), "0x80".into()];
            let text = "wants more".to_owned();
            table.span(out, Span { cells, word: "torn".into(), text, hue: hue::BAD })?;
            table.end(out)
        })
    };
    assert!(drawn(40).ends_with("10  0x40        LIVE\n !  0x80        torn  wants more\n"), "{}", drawn(40));
    assert!(drawn(18).contains("\n!  0x80        torn  wants\n         more\n"), "{}", drawn(18));
}

#[test]
fn colours_change_no_width() {
    let rows = [["a", "5", "1", "2", "x"], ["bbb", "1,000", "2", "3", "yy"]];
    let colored = drawn(COLUMNS, &rows, Look { color: true, ..LOOK });
    assert!(colored.contains("\u{1b}[36ma\u{1b}["), "{colored:?}");
    let mut bare = String::new();
    let mut in_escape = false;
    for c in colored.chars() {
        in_escape |= c == '\u{1b}';
        if !in_escape {
            bare.push(c);
        }
        in_escape &= c != 'm';
    }
    assert_eq!(bare, drawn(COLUMNS, &rows, LOOK));
}
