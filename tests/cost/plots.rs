//! The curves, as SVG.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use rehearsal::stage::Interface;

use crate::deployment::Deployment;
use crate::figures::{Pair, Sample};
use crate::growth::Growth;

type Drawing<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// One of a sample's figures.
type Figure = fn(&Sample) -> f64;
type Outcome = Result<(), Box<dyn Error>>;

const COLORS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x7f, 0x7f, 0x7f),
];

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "how the library hands it over"
)]
fn number(value: &f64) -> String {
    format!("{value}")
}

/// Processor time of settled hooks, the two transports beside each other.
pub(crate) fn hooks(pairs: &[Pair], path: &Path) -> Outcome {
    let count = u32::try_from(pairs.len())?;
    let root = SVGBackend::new(path, (900, 90 + 28 * count)).into_drawing_area();
    root.fill(&WHITE)?;
    let times = pairs
        .iter()
        .flat_map(|pair| [pair.direct.processor, pair.tools.processor]);
    let top = times.fold(1.0, f64::max) * 4.0;
    let names: Vec<&str> = pairs.iter().rev().map(|pair| pair.name.as_str()).collect();
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "CPU of a settled hook: agent's socket and hook tools",
            ("sans-serif", 18),
        )
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(240)
        .build_cartesian_2d((0.1..top).log_scale(), 0.0..f64::from(count))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_desc("milliseconds")
        .x_label_formatter(&number)
        .draw()?;
    let mut bars = Vec::new();
    for (row, pair) in (0_u32..).zip(pairs.iter().rev()) {
        let at = f64::from(row);
        bars.push((COLORS[1], pair.tools.processor, at + 0.15..at + 0.5));
        bars.push((COLORS[0], pair.direct.processor, at + 0.5..at + 0.85));
    }
    let bar = |(color, to, rows): &(RGBColor, f64, Range<f64>)| {
        Rectangle::new([(0.1, rows.start), (*to, rows.end)], color.filled())
    };
    chart.draw_series(bars.iter().map(bar))?;
    for (row, name) in (0_u32..).zip(names) {
        let at = chart.backend_coord(&(0.1, f64::from(row) + 0.65));
        let text = Text::new(name.to_owned(), (at.0 - 235, at.1 - 4), ("sans-serif", 14));
        root.draw(&text)?;
    }
    for (name, color) in [("agent's socket", COLORS[0]), ("hook tools", COLORS[1])] {
        chart
            .draw_series(std::iter::empty::<Rectangle<(f64, f64)>>())?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .border_style(BLACK)
        .position(SeriesLabelPosition::LowerRight)
        .draw()?;
    root.present()?;
    Ok(())
}

/// A line in one of several pictures side by side.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

fn lines(on: &Drawing, title: &str, unit: &str, across: &str, lines: &[Line]) -> Outcome {
    let all = || lines.iter().flat_map(|line| &line.points);
    let right = all().map(|point| point.0).fold(1.0, f64::max);
    let top = all().map(|point| point.1).fold(1.0, f64::max) * 30.0;
    let mut chart = ChartBuilder::on(on)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(55)
        .build_cartesian_2d((1.0..right).log_scale(), (0.1..top).log_scale())?;
    chart
        .configure_mesh()
        .x_desc(across)
        .y_desc(unit)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .max_light_lines(4)
        .draw()?;
    for (line, color) in lines.iter().zip(COLORS.iter().cycle().copied()) {
        chart
            .draw_series(LineSeries::new(
                line.points.iter().copied(),
                color.stroke_width(2),
            ))?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .position(SeriesLabelPosition::UpperLeft)
        .draw()?;
    Ok(())
}

/// Calls, traffic and processor time of settled hooks while the model grows.
pub(crate) fn growth(growth: &Growth, path: &Path) -> Outcome {
    let root = SVGBackend::new(path, (1350, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let figures: [(&str, &str, Figure); 3] = [
        ("Calls of a hook", "calls", |it| it.calls),
        ("Its traffic with the agent", "KiB", |it| it.traffic),
        ("Its CPU", "milliseconds", |it| it.processor),
    ];
    for (on, (title, unit, figure)) in root.split_evenly((1, 3)).iter().zip(figures) {
        let settled = growth
            .0
            .iter()
            .filter(|it| it.hook.ends_with("status") || it.hook.ends_with("changed"));
        let curves: Vec<Line> = settled
            .map(|curve| Line {
                name: format!("{}, {}", curve.hook, curve.what.replace('`', "")),
                points: curve
                    .points
                    .iter()
                    // a logarithm has no zero
                    .map(|(size, it)| (f64::from(*size), figure(it).max(0.1)))
                    .collect(),
            })
            .collect();
        lines(on, title, unit, "how many", &curves)?;
    }
    root.present()?;
    Ok(())
}

/// What a whole deployment takes of each unit.
pub(crate) fn deployments(deployments: &[Deployment], path: &Path) -> Outcome {
    let root = SVGBackend::new(path, (700, 520)).into_drawing_area();
    root.fill(&WHITE)?;
    let of = |interface, name: &str, figure: fn(&Deployment) -> f64| Line {
        name: name.to_owned(),
        points: deployments
            .iter()
            .filter(|it| it.interface == interface)
            .map(|it| (f64::from(it.units), figure(it).max(0.1)))
            .collect(),
    };
    let modern = |name, figure| of(Interface::Modern, name, figure);
    let all = [
        modern("calls", |it| it.own.sum.calls + it.told.sum.calls),
        modern("KiB", |it| it.own.sum.traffic + it.told.sum.traffic),
        modern("CPU ms", |it| it.own.sum.processor + it.told.sum.processor),
        modern("CPU ms of hooks that ask nothing", |it| {
            it.idle.sum.processor
        }),
        of(
            Interface::Legacy,
            "calls about databases over `pgsql`",
            |it| it.told.sum.calls,
        ),
    ];
    let all: Vec<Line> = all.into_iter().filter(|it| !it.points.is_empty()).collect();
    lines(
        &root,
        "A whole deployment, for each unit",
        "",
        "units",
        &all,
    )?;
    root.present()?;
    Ok(())
}
