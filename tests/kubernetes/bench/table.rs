//! The figures in words: the contenders, and each budget with what was measured beside it.

use crate::{
    figures::{
        BASELINE, Cold, Contender, Far, Figures, KUBEADM_AND_KUBELET, NODESTRAP, SHELL, median, precise,
        ratio,
    },
    measure::Taken,
};

/// A floppy disk.
const SIZE: u64 = 1_474_560;
/// The executable is read a page and more at a time, the last one too (`read_ahead_kb`).
const PAGES: f64 = 16_384.0;

/// One budget.
struct Line {
    what: String,
    budget: String,
    measured: String,
    met: bool,
}

pub fn print(figures: &Figures) {
    let rounds = figures.contenders[NODESTRAP].taken.len();
    println!("\nKubernetes {}, {}; medians of {rounds} rounds;", figures.kubernetes, figures.processor);
    println!("the ratios are medians of each round's ratio to nodestrap.\n");
    println!("| | wall ms | ratio | CPU ms | ratio | peak MiB | ratio | executable bytes | ratio |");
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for contender in &figures.contenders {
        let ours = &figures.contenders[NODESTRAP];
        print!("| {} ", contender.name);
        for figure in [wall, cpu, peak] {
            print!("| {:.1} | {:.2} ", contender.median(figure), contender.ratio(ours, figure));
        }
        println!("| {} | {:.2} |", contender.bytes, precise(contender.bytes) / precise(ours.bytes));
    }
    let lines = lines(figures);
    println!("\n| | budget | measured | |\n|---|---|---|---|");
    for Line { what, budget, measured, met } in &lines {
        println!("| {what} | {budget} | {measured} | {} |", if *met { "met" } else { "**not met**" });
    }
    println!("\n{} of {} budgets met", lines.iter().filter(|line| line.met).count(), lines.len());
}

fn wall(taken: &Taken) -> f64 {
    taken.wall_ms
}

fn cpu(taken: &Taken) -> f64 {
    taken.cpu_ms
}

fn peak(taken: &Taken) -> f64 {
    taken.peak_mib
}

fn read(taken: &Taken) -> f64 {
    taken.read_bytes
}

fn lines(figures: &Figures) -> Vec<Line> {
    let [ours, baseline] = [NODESTRAP, BASELINE].map(|place| &figures.contenders[place]);
    let facts = &figures.facts;
    let mut lines = Vec::new();
    let mut line = |what: &str, budget: &str, measured: String, met: bool| {
        lines.push(Line { what: what.to_owned(), budget: budget.to_owned(), measured, met });
    };
    for (architecture, size) in &figures.sizes {
        let measured = size.map_or("not built".to_owned(), |size| format!("{size} bytes"));
        let what = format!("executable for {architecture}");
        line(&what, &format!("at most {SIZE} bytes"), measured, size.is_some_and(|size| size <= SIZE));
    }

    let (on_disk, in_memory) = (ours.ratio(baseline, wall), ratio(&figures.in_memory, &baseline.taken, wall));
    line(
        "time of a join, for that of the baseline client",
        "at most 1.15",
        format!("{on_disk:.2} ({:.1} ms); {in_memory:.2} with the node's disk in memory", ours.median(wall)),
        on_disk <= 1.15,
    );
    for (figure, what, least) in [(wall as fn(&Taken) -> f64, "time", 20.0), (cpu, "processor time", 30.0)] {
        for alternative in [KUBEADM_AND_KUBELET, SHELL].map(|place| &figures.contenders[place]) {
            line(
                &format!("{what} of {}, for ours", alternative.name),
                &format!("at least {least}"),
                beside_the_floor(alternative, ours, baseline, figure),
                alternative.ratio(ours, figure) >= least,
            );
        }
    }
    for far in &figures.far {
        far_away(far, least(ours.taken.iter().map(wall)), &mut line);
    }
    let spent = ours.median(cpu);
    line("processor time of a join", "at most 5 ms", format!("{spent:.1} ms"), spent <= 5.0);
    let most = ours.taken.iter().map(peak).fold(0.0, f64::max);
    line("peak memory, the most of all rounds", "at most 2.5 MiB", format!("{most:.1} MiB"), most <= 2.5);

    let cold = |which: fn(&Cold) -> &Taken| median(figures.cold.iter().map(which).map(read));
    let (from_disk, theirs) = (cold(|cold| &cold.nodestrap), cold(|cold| &cold.kubeadm_and_kubelet));
    let beside = cold(|cold| &cold.beside_the_executable);
    line(
        "bytes from disk, nothing cached",
        "at most the executable, and what the file system reads of its own",
        format!(
            "{:.0} KiB; {:.0} KiB with the executable cached, the file system's directories and inodes",
            from_disk / 1024.0,
            beside / 1024.0
        ),
        from_disk - beside <= precise(ours.bytes) + PAGES,
    );
    let more = theirs / from_disk;
    line(
        "those of kubeadm and kubelet, for ours",
        "at least 50",
        format!("{more:.0} ({:.0} MiB)", theirs / 1_048_576.0),
        more >= 50.0,
    );

    let syncs = &facts.syncs;
    line(
        "waits for the disk with the certificate at hand",
        "at most 3: the pair, its directory, kubelet.conf's",
        format!(
            "{}; {} before the request, {} while it is decided",
            syncs.with_the_certificate, syncs.before_the_request, syncs.while_it_is_decided
        ),
        syncs.with_the_certificate <= 3,
    );
    let again = median(figures.again.iter().map(wall));
    line(
        "a run on a joined node",
        "less than 2 ms, no network",
        format!("{again:.1} ms, {} calls of the network", facts.calls_when_joined),
        again < 2.0 && facts.calls_when_joined == 0,
    );
    line(
        "requests and handshakes, by the audit log and the report",
        "3 and 1",
        format!("{} and {}", facts.requests, facts.handshakes),
        facts.requests == 3 && facts.handshakes == 1,
    );
    line(
        "instructions of a join, beside the baseline client's",
        "held by the tests to 2 %",
        format!("{} and {}", facts.instructions, facts.baseline_instructions),
        true,
    );
    lines
}

/// An alternative's ratio to us, and to what no client can beat.
fn beside_the_floor(
    alternative: &Contender,
    ours: &Contender,
    baseline: &Contender,
    figure: fn(&Taken) -> f64,
) -> String {
    let [of_ours, of_the_floor] = [ours, baseline].map(|client| alternative.ratio(client, figure));
    format!("{of_ours:.1} ({of_the_floor:.1} for the baseline client's)")
}

fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::INFINITY, f64::min)
}

/// Five round trips: TCP, TLS, three requests. What is left of the time, of the quickest joins, is the server's and ours;
/// a sixth one would show there.
fn far_away(far: &Far, near: f64, line: &mut impl FnMut(&str, &str, String, bool)) {
    let wall = least(far.wall_ms.iter().copied());
    let left = wall - 5.0 * far.round_trip_ms;
    line(
        &format!("a join over {} ms, by capture", far.round_trip_ms),
        "at most 5 round trips on one connection, and what it takes nearby",
        format!(
            "{} on {}; the quickest {wall:.1} ms = 5 × {} + {left:.1} ms, nearby {near:.1} ms",
            far.round_trips, far.connections, far.round_trip_ms
        ),
        far.round_trips <= 5 && far.connections == 1 && left - near < far.round_trip_ms / 2.0,
    );
}
