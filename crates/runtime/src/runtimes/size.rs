//! What a runtime may use: plain numbers, or the name of an Azure VM size as the hosted product has it.

use std::fmt;
use std::str::FromStr;

use flowgate_flow::suggest;

/// Processors and memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Processors.
    pub cpus: f64,
    /// Memory in bytes.
    pub memory: u64,
}

/// What a runtime has where nothing is asked for.
pub const DEFAULT: Size = Size { cpus: 2.0, memory: 4 << 30 };
/// Less is too little to import the engine.
const LEAST_MEMORY: u64 = 512 << 20;
const GIB: f64 = 1_073_741_824.0;

/// Sizes whose memory is no fixed multiple of their processors: name, processors, GiB. Source: "Dv2 and DSv2-series",
/// "B-series" and "NC-series" in Microsoft's list of virtual machine sizes.
const SINGLE: [(&str, u32, f64); 31] = [
    ("Standard_B1s", 1, 1.0),
    ("Standard_B1ms", 1, 2.0),
    ("Standard_B2s", 2, 4.0),
    ("Standard_B2ms", 2, 8.0),
    ("Standard_B4ms", 4, 16.0),
    ("Standard_B8ms", 8, 32.0),
    ("Standard_D1_v2", 1, 3.5),
    ("Standard_D2_v2", 2, 7.0),
    ("Standard_D3_v2", 4, 14.0),
    ("Standard_D4_v2", 8, 28.0),
    ("Standard_D5_v2", 16, 56.0),
    ("Standard_D11_v2", 2, 14.0),
    ("Standard_D12_v2", 4, 28.0),
    ("Standard_D13_v2", 8, 56.0),
    ("Standard_D14_v2", 16, 112.0),
    ("Standard_DS1_v2", 1, 3.5),
    ("Standard_DS2_v2", 2, 7.0),
    ("Standard_DS3_v2", 4, 14.0),
    ("Standard_DS4_v2", 8, 28.0),
    ("Standard_DS5_v2", 16, 56.0),
    ("Standard_DS11_v2", 2, 14.0),
    ("Standard_DS12_v2", 4, 28.0),
    ("Standard_DS13_v2", 8, 56.0),
    ("Standard_DS14_v2", 16, 112.0),
    ("Standard_DS15_v2", 20, 140.0),
    ("Standard_NC6s_v3", 6, 112.0),
    ("Standard_NC12s_v3", 12, 224.0),
    ("Standard_NC24s_v3", 24, 448.0),
    ("Standard_NC4as_T4_v3", 4, 28.0),
    ("Standard_NC8as_T4_v3", 8, 56.0),
    ("Standard_NC16as_T4_v3", 16, 110.0),
];

/// Series of which every size has the same memory for each processor: the name around the number of processors, the
/// numbers, GiB for each. Source: the pages of those series in the same list.
const SERIES: [(&str, &str, &[u32], u32); 16] = [
    ("Standard_D", "_v3", &[2, 4, 8, 16, 32, 48, 64], 4),
    ("Standard_D", "s_v3", &[2, 4, 8, 16, 32, 48, 64], 4),
    ("Standard_D", "_v4", &[2, 4, 8, 16, 32, 48, 64], 4),
    ("Standard_D", "s_v4", &[2, 4, 8, 16, 32, 48, 64], 4),
    ("Standard_D", "as_v4", &[2, 4, 8, 16, 32, 48, 64, 96], 4),
    ("Standard_D", "ds_v4", &[2, 4, 8, 16, 32, 48, 64], 4),
    ("Standard_D", "s_v5", &[2, 4, 8, 16, 32, 48, 64, 96], 4),
    ("Standard_D", "as_v5", &[2, 4, 8, 16, 32, 48, 64, 96], 4),
    ("Standard_D", "ds_v5", &[2, 4, 8, 16, 32, 48, 64, 96], 4),
    ("Standard_D", "ads_v5", &[2, 4, 8, 16, 32, 48, 64, 96], 4),
    ("Standard_E", "s_v3", &[2, 4, 8, 16, 20, 32, 48], 8),
    ("Standard_E", "s_v4", &[2, 4, 8, 16, 20, 32, 48], 8),
    ("Standard_E", "ds_v4", &[2, 4, 8, 16, 20, 32, 48], 8),
    ("Standard_E", "s_v5", &[2, 4, 8, 16, 20, 32, 48], 8),
    ("Standard_E", "ds_v5", &[2, 4, 8, 16, 20, 32, 48], 8),
    ("Standard_F", "s_v2", &[2, 4, 8, 16, 32, 48, 64, 72], 2),
];

/// The sizes that a name stands for.
fn named() -> impl Iterator<Item = (String, Size)> {
    let single = SINGLE.iter().map(|(name, cpus, gib)| {
        let size = Size { cpus: f64::from(*cpus), memory: (gib * GIB) as u64 };
        ((*name).to_owned(), size)
    });
    let series = SERIES.iter().flat_map(|(before, after, counts, gib)| {
        counts.iter().map(move |count| {
            let size = Size { cpus: f64::from(*count), memory: u64::from(count * gib) << 30 };
            (format!("{before}{count}{after}"), size)
        })
    });
    single.chain(series)
}

/// What a person asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// A size, or a part of one.
    Size {
        /// Processors.
        cpus: Option<f64>,
        /// Memory in bytes.
        memory: Option<u64>,
    },
    /// A name that is not known: the hosted product has hundreds, and new ones. A full sentence.
    Unknown(String),
}

impl FromStr for Asked {
    type Err = String;

    /// `cpus=4,memory=8GiB` (either alone, too), or the name of an Azure VM size.
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(match Size::of_vm(text) {
                Ok(Size { cpus, memory }) => Self::Size { cpus: Some(cpus), memory: Some(memory) },
                Err(warning) => Self::Unknown(warning),
            });
        }
        let (mut all_cpus, mut all_memory) = (None, None);
        for part in text.split(',') {
            match part.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("cpus", value)) => all_cpus = Some(cpus(value)?),
                Some(("memory", value)) => all_memory = Some(memory(value)?),
                _ => {
                    return Err(format!("`{}` is not part of a size: write `cpus=4,memory=8GiB`", part.escape_debug()));
                }
            }
        }
        Ok(Self::Size { cpus: all_cpus, memory: all_memory })
    }
}

impl Asked {
    /// The size, the rest of which is that of `base`; or what is to be said where its name is not known.
    ///
    /// # Errors
    /// A full sentence.
    pub fn size(&self, base: Size) -> Result<Size, &str> {
        match self {
            Self::Size { cpus, memory } => {
                Ok(Size { cpus: cpus.unwrap_or(base.cpus), memory: memory.unwrap_or(base.memory) })
            }
            Self::Unknown(warning) => Err(warning),
        }
    }
}

impl Size {
    /// Whether both are shown alike: engines keep billionths of a processor, and people write tenths of a GiB.
    pub fn is_about(self, other: Self) -> bool {
        (self.cpus - other.cpus).abs() < 0.01 && self.memory >> 20 == other.memory >> 20
    }

    fn of_vm(name: &str) -> Result<Self, String> {
        if let Some((_, size)) = named().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Ok(size);
        }
        let names: Vec<String> = named().map(|(name, _)| name).collect();
        let near = suggest::nearest(name, names.iter().map(String::as_str));
        let near = near.map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
        Err(format!(
            "The size `{}` is unknown, and ignored.{near} `cpus=4,memory=8GiB` says it plainly.",
            name.escape_debug()
        ))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.cpus == 1.0 { "cpu" } else { "cpus" };
        write!(f, "{} {unit}, {}", short(self.cpus), shown_memory(self.memory))
    }
}

/// `8 GiB`, `512 MiB`.
pub(crate) fn shown_memory(bytes: u64) -> String {
    let gib = bytes as f64 / GIB;
    if gib >= 1.0 { format!("{} GiB", short(gib)) } else { format!("{} MiB", bytes >> 20) }
}

/// At most two decimals, and none that say nothing.
fn short(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn cpus(text: &str) -> Result<f64, String> {
    let cpus: f64 = text.parse().map_err(|_| format!("`{}` is no number of cpus", text.escape_debug()))?;
    match (0.1..=1024.0).contains(&cpus) {
        true => Ok(cpus),
        false => Err("a runtime has from 0.1 to 1024 cpus".to_owned()),
    }
}

/// `8GiB`, `8GB`, `8g`, `512MiB`: as Docker reads them, in powers of 1024.
fn memory(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "g" | "gb" | "gib" => 30,
        "m" | "mb" | "mib" => 20,
        _ => return Err(format!("`{}` is no amount of memory: write it as `8GiB` or `512MiB`", text.escape_debug())),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{}` is no amount of memory", text.escape_debug()))?;
    let bytes = number * f64::from(1u32 << shift);
    if !(LEAST_MEMORY as f64..=1e15).contains(&bytes) {
        return Err(format!("a runtime has from {} MiB to 900000 GiB of memory", LEAST_MEMORY >> 20));
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_or_names_of_azure() {
        let read = |text: &str| text.parse::<Asked>().map(|asked| asked.size(DEFAULT).unwrap().to_string());
        for (text, size) in [
            ("cpus=4,memory=8GiB", "4 cpus, 8 GiB"),
            ("memory=512m", "2 cpus, 512 MiB"),
            ("cpus=1", "1 cpu, 4 GiB"),
            ("cpus=0.5, memory=1.5g", "0.5 cpus, 1.5 GiB"),
            ("Standard_DS3_v2", "4 cpus, 14 GiB"),
            ("standard_ds1_v2", "1 cpu, 3.5 GiB"),
            ("Standard_E4ds_v4", "4 cpus, 32 GiB"),
            ("STANDARD_F8S_V2", "8 cpus, 16 GiB"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(size), "{text}");
        }
    }

    #[test]
    fn nonsense_is_told() {
        for (text, message) in [
            ("cpus=many", "`many` is no number of cpus"),
            ("cpus=NaN", "from 0.1 to 1024"),
            ("cpus=0", "from 0.1 to 1024"),
            ("cpus=-1", "from 0.1 to 1024"),
            ("memory=8", "write it as `8GiB`"),
            ("memory=1m", "from 512 MiB"),
            ("memory=..g", "no amount of memory"),
            ("memory=9999999999999g", "from 512 MiB to 900000 GiB"),
            ("disk=8GiB", "is not part of a size"),
            ("cpus=1,,", "is not part of a size"),
        ] {
            let error = text.parse::<Asked>().unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
        for (text, message) in [
            ("Standard_DS3_v3", "Did you mean `Standard_D"),
            ("huge", "The size `huge` is unknown, and ignored. `cpus"),
            ("", "The size `` is unknown"),
        ] {
            let Ok(Asked::Unknown(warning)) = text.parse() else { panic!("{text}") };
            assert!(warning.contains(message), "{text}: {warning}");
        }
    }
}
