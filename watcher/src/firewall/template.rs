//! A program, its arguments and the lines that it reads, with blanks in them. Only numbers and addresses are ever filled in.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::Ports;

/// So many bytes of arguments or of lines go to one program.
const BYTES_MAX: usize = 100_000;

/// What to run, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    program: String,
    arguments: Vec<Argument>,
    /// What it reads, a line for each ban.
    line: Option<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Argument {
    One(Vec<Piece>),
    /// As many arguments as there are bans, each this.
    Many(Piece),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// An address alone.
    Address,
    /// An address, or a network with its length.
    Network,
    /// `4` or `6`.
    Family,
    Ports,
    Seconds,
}

/// What one ban puts into the blanks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'e> {
    pub(super) network: IpNet,
    pub(super) ports: &'e Ports,
    pub(super) remaining: Duration,
}

/// What is run, and what it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) argv: Vec<String>,
    pub(super) input: String,
}

/// Why a program cannot be run for a ban.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No program, or not by its absolute path.
    #[error("the program must be named by its absolute path, not by {0:?}")]
    Program(String),
    /// Something in braces that is not known.
    #[error(
        "{0:?} is none of {{address}}, {{network}}, {{family}}, {{ports}}, {{seconds}}; as an argument of its own \
         also {{addresses}}, {{networks}}; a brace itself is written twice"
    )]
    Blank(String),
    /// The program would not learn whom it is about.
    #[error("no argument, and no line, has {{network}} or {{address}} in it")]
    Nobody,
    /// Arguments that are of one ban, and lines that are of many.
    #[error("{0:?} says something of one ban, where a program is run for many: it belongs into the line")]
    OneOfMany(String),
}

impl Template {
    /// Reads a program and its arguments, and the line that it reads for each ban.
    pub(super) fn parse(argv: &[String], line: Option<&str>) -> Result<Self, TemplateError> {
        let (program, arguments) = argv.split_first().ok_or(TemplateError::Program(String::new()))?;
        if !Path::new(program).is_absolute() {
            return Err(TemplateError::Program(program.clone()));
        }
        let read = |argument: &String| match argument.as_str() {
            "{addresses}" => Ok(Argument::Many(Piece::Address)),
            "{networks}" => Ok(Argument::Many(Piece::Network)),
            _ => pieces(argument).map(Argument::One),
        };
        let arguments = arguments.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let line = line.map(pieces).transpose()?;
        let template = Template { program: program.clone(), arguments, line };
        let names = |piece: &Piece| matches!(piece, Piece::Address | Piece::Network);
        let of_one =
            template.arguments.iter().zip(argv.iter().skip(1)).find(|(argument, _)| match argument {
                Argument::One(pieces) => pieces.iter().any(names),
                Argument::Many(_) => false,
            });
        match of_one {
            Some((_, argument)) if template.takes_many() => Err(TemplateError::OneOfMany(argument.clone())),
            None if !template.pieces().any(names) => Err(TemplateError::Nobody),
            Some(_) | None => Ok(template),
        }
    }

    /// Whether one run serves many bans.
    pub(super) fn takes_many(&self) -> bool {
        self.line.is_some() || self.arguments.iter().any(|argument| matches!(argument, Argument::Many(_)))
    }

    /// Whether it can be run for this at all: a program that takes one address would meet only a network's first.
    pub(super) fn takes(&self, network: IpNet) -> bool {
        let single = network.prefix_len() == network.max_prefix_len();
        single || !self.pieces().any(|piece| *piece == Piece::Address)
    }

    /// Whether one run can serve both.
    pub(super) fn joins(&self, a: Entry<'_>, b: Entry<'_>) -> bool {
        let shared = self.arguments.iter().filter_map(|argument| match argument {
            Argument::One(pieces) => Some(pieces),
            Argument::Many(_) => None,
        });
        self.takes_many() && shared.flatten().all(|piece| piece.fill(a) == piece.fill(b))
    }

    /// Fills in as many as fit, one at least; and says how many.
    pub(super) fn fill(&self, entries: &[Entry<'_>]) -> (Filled, usize) {
        let text = |pieces: &[Piece], entry| pieces.iter().map(|piece| piece.fill(entry)).collect::<String>();
        let (mut count, mut bytes, mut input) = (0, 0, String::new());
        for entry in entries {
            let line = self.line.as_deref().map(|line| text(line, *entry) + "\n").unwrap_or_default();
            // A list of ports can be longer than all else.
            bytes += line.len() + entry.network.to_string().len() + 1;
            if count > 0 && bytes > BYTES_MAX {
                break;
            }
            input += &line;
            count += 1;
        }
        let entries = entries.get(..count).unwrap_or_default();
        let first = entries.first().copied();
        let mut argv = vec![self.program.clone()];
        for argument in &self.arguments {
            match argument {
                Argument::One(pieces) => argv.extend(first.map(|entry| text(pieces, entry))),
                Argument::Many(piece) => argv.extend(entries.iter().map(|entry| piece.fill(*entry))),
            }
        }
        (Filled { argv, input }, count)
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let of_arguments = self.arguments.iter().flat_map(|argument| match argument {
            Argument::One(pieces) => pieces.as_slice(),
            Argument::Many(piece) => std::slice::from_ref(piece),
        });
        of_arguments.chain(self.line.iter().flatten())
    }
}

impl Piece {
    fn fill(&self, Entry { network, ports, remaining }: Entry<'_>) -> String {
        let address: IpAddr = network.addr();
        match self {
            Piece::Text(text) => text.clone(),
            Piece::Network if network.prefix_len() != network.max_prefix_len() => network.to_string(),
            Piece::Network | Piece::Address => address.to_string(),
            Piece::Family => if address.is_ipv4() { "4" } else { "6" }.to_owned(),
            Piece::Ports => match ports {
                Ports::All => "all".to_owned(),
                Ports::Tcp(ports) => ports.iter().map(u16::to_string).collect::<Vec<_>>().join(","),
            },
            // A tool that is told of zero seconds might take it for ever.
            Piece::Seconds => remaining.as_secs().max(1).to_string(),
        }
    }
}

fn pieces(argument: &str) -> Result<Vec<Piece>, TemplateError> {
    let (mut pieces, mut text) = (Vec::new(), String::new());
    let mut rest = argument;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        text += before;
        if after.starts_with("{{") || after.starts_with("}}") {
            text += after.get(..1).unwrap_or_default();
            rest = after.get(2..).unwrap_or_default();
            continue;
        }
        let blank = || TemplateError::Blank(after.to_owned());
        let (name, after) =
            after.strip_prefix('{').and_then(|after| after.split_once('}')).ok_or_else(blank)?;
        pieces.push(Piece::Text(std::mem::take(&mut text)));
        pieces.push(match name {
            "address" => Piece::Address,
            "network" => Piece::Network,
            "family" => Piece::Family,
            "ports" => Piece::Ports,
            "seconds" => Piece::Seconds,
            _ => return Err(TemplateError::Blank(format!("{{{name}}}"))),
        });
        rest = after;
    }
    text += rest;
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(argv: &str, line: Option<&str>) -> Result<Template, TemplateError> {
        Template::parse(&argv.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), line)
    }

    fn entry<'e>(network: &str, ports: &'e Ports) -> Entry<'e> {
        Entry { network: network.parse().unwrap(), ports, remaining: Duration::from_secs(90) }
    }

    #[track_caller]
    fn check(argv: &str, network: &str, ports: &Ports, expected: &str) {
        let (filled, count) = parse(argv, None).unwrap().fill(&[entry(network, ports)]);
        assert_eq!((filled.argv.join(" ").as_str(), count), (expected, 1));
    }

    #[test]
    fn blanks_are_filled_in_wherever_they_stand() {
        let smtp = Ports::Tcp([25, 465].into());
        check("/sbin/fw add {network} {seconds}s", "192.0.2.0/24", &smtp, "/sbin/fw add 192.0.2.0/24 90s");
        check("/sbin/fw {network}", "192.0.2.7/32", &smtp, "/sbin/fw 192.0.2.7");
        check(
            "/sbin/fw ip{family}={address},p={ports}",
            "2001:db8::1/128",
            &smtp,
            "/sbin/fw ip6=2001:db8::1,p=25,465",
        );
        check("/sbin/fw {{{address}}} {ports}", "192.0.2.7/32", &Ports::All, "/sbin/fw {192.0.2.7} all");
    }

    #[test]
    fn a_program_for_many_is_given_all_of_them_as_arguments_or_lines() {
        let all = Ports::All;
        let bans = [entry("192.0.2.7/32", &all), entry("198.51.100.0/24", &all)];
        let (filled, count) = parse("/sbin/fw {seconds} {networks} end", None).unwrap().fill(&bans);
        assert_eq!((filled.argv.join(" ").as_str(), count), ("/sbin/fw 90 192.0.2.7 198.51.100.0/24 end", 2));
        let (filled, _) = parse("/sbin/fw -", Some("add {{ {network} }}")).unwrap().fill(&bans);
        assert_eq!(filled.argv, ["/sbin/fw", "-"]);
        assert_eq!(filled.input, "add { 192.0.2.7 }\nadd { 198.51.100.0/24 }\n");
    }

    #[test]
    fn so_many_are_given_at_once_as_fit() {
        let all = Ports::All;
        let bans = vec![entry("192.0.2.7/32", &all); 100_000];
        let (filled, count) = parse("/sbin/fw {addresses}", None).unwrap().fill(&bans);
        assert!(filled.argv.len() == count + 1 && count > 1000 && count < bans.len(), "{count}");
        let (_, count) =
            parse("/sbin/fw", Some(&format!("{{address}}{}", "x".repeat(200_000)))).unwrap().fill(&bans);
        assert_eq!(count, 1);
    }

    #[test]
    fn bans_share_a_run_where_what_they_share_is_the_same() {
        let (all, smtp) = (Ports::All, Ports::Tcp([25].into()));
        let (v4, v6) = (entry("192.0.2.7/32", &all), entry("2001:db8::/64", &smtp));
        let joins = |argv: &str, line| parse(argv, line).unwrap().joins(v4, v6);
        assert!(joins("/sbin/fw {networks}", None));
        assert!(!joins("/sbin/fw {family} {networks}", None));
        assert!(!joins("/sbin/fw {ports} {networks}", None));
        assert!(joins("/sbin/fw", Some("add{family} {network} {ports}")));
        assert!(!joins("/sbin/fw {network}", None));
    }

    #[test]
    fn a_program_for_addresses_is_not_run_for_a_network() {
        for (argv, line) in
            [("/sbin/fw {address}", None), ("/sbin/fw {addresses}", None), ("/sbin/fw", Some("{address}"))]
        {
            let template = parse(argv, line).unwrap();
            assert!(!template.takes("192.0.2.0/24".parse().unwrap()));
            assert!(template.takes("192.0.2.7/32".parse().unwrap()));
        }
    }

    #[track_caller]
    fn check_refused(argv: &str, expected: &TemplateError) {
        assert_eq!(parse(argv, None).unwrap_err(), *expected);
    }

    #[test]
    fn what_could_not_be_run_is_refused() {
        check_refused("", &TemplateError::Program(String::new()));
        check_refused("fw {network}", &TemplateError::Program("fw".to_owned()));
        check_refused("/sbin/fw {ip}", &TemplateError::Blank("{ip}".to_owned()));
        check_refused("/sbin/fw {network", &TemplateError::Blank("{network".to_owned()));
        check_refused("/sbin/fw network}", &TemplateError::Blank("}".to_owned()));
        check_refused("/sbin/fw x{networks}", &TemplateError::Blank("{networks}".to_owned()));
        check_refused("/sbin/fw flush", &TemplateError::Nobody);
        let of_one = TemplateError::OneOfMany("{network}".to_owned());
        assert_eq!(parse("/sbin/fw {network}", Some("{network}")), Err(of_one));
    }
}
