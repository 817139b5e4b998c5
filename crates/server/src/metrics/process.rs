//! What the machine says of this process, by the names that Prometheus' libraries have for it. On Linux alone.

use std::fs;
use std::time::Duration;

use mosaic_ports::{Figure, Figures, Reading};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};

/// What `/proc` says.
#[derive(Debug)]
pub(crate) struct ProcessFigures {
    /// When the process started, since 1970. It never changes, and what it is computed from is long.
    started: Option<Duration>,
}

impl ProcessFigures {
    /// Those of this process.
    pub(crate) fn new() -> Self {
        Self { started: started() }
    }
}

impl Figures for ProcessFigures {
    fn figures(&self) -> Vec<Figure> {
        let started = self.started.map(|at| {
            let help = "When the process started, in seconds since 1970";
            Figure::of("process_start_time_seconds", help, Reading::SecondsGauge(at))
        });
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let figures = [cpu(&stat), started, open_files(), max_files()];
        figures.into_iter().flatten().chain(of_status(&status)).collect()
    }
}

/// The fields of `/proc/self/stat` after the program's name, which may hold spaces: the first of them is the third of all.
fn fields(stat: &str) -> Vec<&str> {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_ascii_whitespace().collect()
}

fn ticks(field: Option<&&str>) -> Option<Duration> {
    let ticks: u64 = field?.parse().ok()?;
    Some(Duration::from_secs(ticks) / u32::try_from(clock_ticks_per_second()).ok()?)
}

fn cpu(stat: &str) -> Option<Figure> {
    let fields = fields(stat);
    let spent = ticks(fields.get(11))? + ticks(fields.get(12))?;
    let help = "Processor time that the process has used, of the user and of the system together";
    Some(Figure::of(
        "process_cpu_seconds_total",
        help,
        Reading::SecondsCounter(spent),
    ))
}

fn started() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let since_boot = ticks(fields(&stat).get(19))?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(Duration::from_secs(booted.parse().ok()?) + since_boot)
}

fn open_files() -> Option<Figure> {
    const FOLDER: &str = "/proc/self/fd";
    // Since Linux 6.2 its size says how many there are; before, they have to be counted.
    let open = match fs::metadata(FOLDER).ok()?.len() {
        0 => fs::read_dir(FOLDER).ok()?.count() as u64,
        open => open,
    };
    let help = "Files and connections that the process has open";
    Some(Figure::gauge("process_open_fds", help, open))
}

fn max_files() -> Option<Figure> {
    let help = "Files and connections that the process may have open";
    let limit = getrlimit(Resource::Nofile).current?;
    Some(Figure::gauge("process_max_fds", help, limit))
}

fn of_status(status: &str) -> impl Iterator<Item = Figure> {
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let bytes = |name: &str| number(name).map(|kilobytes| kilobytes * 1024);
    let figures = [
        bytes("VmRSS:").map(|bytes| {
            let help = "Memory that the process has in use";
            Figure::gauge("process_resident_memory_bytes", help, bytes)
        }),
        bytes("VmSize:").map(|bytes| {
            let help = "Addresses that the process has reserved";
            Figure::gauge("process_virtual_memory_bytes", help, bytes)
        }),
        number("Threads:").map(|threads| {
            let help = "Threads of the process";
            Figure::gauge("process_threads", help, threads)
        }),
    ];
    figures.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_the_program_is_called() {
        // As the kernel writes it: 1234 ticks of the user and 66 of the system.
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 1234 66 5 6 20 0 9 0 100 200 300 400";
        let per_second = u32::try_from(clock_ticks_per_second()).unwrap();
        let Figure { series, .. } = cpu(stat).unwrap();
        let spent = Duration::from_secs(1300) / per_second;
        assert_eq!(series[0].reading, Reading::SecondsCounter(spent));
        assert_eq!(cpu("nothing"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_figure_is_known_on_linux() {
        let figures = ProcessFigures::new().figures();
        assert_eq!(figures.len(), 7, "{figures:?}");
        let reading = |name| {
            let figure = figures.iter().find(|figure| figure.name == name).unwrap();
            figure.series[0].reading.clone()
        };
        let Reading::Gauge(open) = reading("process_open_fds") else {
            panic!("a gauge");
        };
        assert!((3..10_000).contains(&open), "{open}");
        let Reading::SecondsGauge(started) = reading("process_start_time_seconds") else {
            panic!("a gauge");
        };
        assert!(started > Duration::from_hours(24 * 365 * 50), "{started:?}");
    }
}
