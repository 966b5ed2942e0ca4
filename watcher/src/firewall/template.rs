//! A program and its arguments with blanks in them. Only numbers and addresses are ever filled in.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::Ports;

/// What to run, checked.
#[derive(Debug)]
pub(super) struct Template {
    program: String,
    arguments: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    /// An address alone.
    Address,
    /// An address, or a network with its length.
    Network,
    Ports,
    Seconds,
}

/// Why a program cannot be run for a ban.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No program, or not by its absolute path.
    #[error("the program must be named by its absolute path, not by {0:?}")]
    Program(String),
    /// Something in braces that is not known.
    #[error("{0:?} is none of {{address}}, {{network}}, {{ports}}, {{seconds}}")]
    Blank(String),
    /// The program would not learn whom it is about.
    #[error("no argument has {{network}} or {{address}} in it")]
    Nobody,
}

impl Template {
    /// Reads a program and its arguments.
    pub(super) fn parse(argv: &[String]) -> Result<Self, TemplateError> {
        let (program, arguments) = argv.split_first().ok_or(TemplateError::Program(String::new()))?;
        if !Path::new(program).is_absolute() {
            return Err(TemplateError::Program(program.clone()));
        }
        let arguments =
            arguments.iter().map(|argument| pieces(argument)).collect::<Result<Vec<_>, TemplateError>>()?;
        if !arguments.iter().flatten().any(|piece| matches!(piece, Piece::Address | Piece::Network)) {
            return Err(TemplateError::Nobody);
        }
        Ok(Template { program: program.clone(), arguments })
    }

    /// Fills it in. A program that takes one address is not run for a network: it would meet only its first.
    pub(super) fn fill(
        &self,
        (network, ports): (IpNet, &Ports),
        remaining: Duration,
    ) -> io::Result<Vec<String>> {
        let single = network.prefix_len() == network.max_prefix_len();
        if !single && self.arguments.iter().flatten().any(|piece| *piece == Piece::Address) {
            let refusal = format!("{} takes an address, not a network", self.program);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, refusal));
        }
        let address: IpAddr = network.addr();
        let fill = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Network if !single => network.to_string(),
            Piece::Network | Piece::Address => address.to_string(),
            Piece::Ports => port_list(ports),
            // A tool that is told of zero seconds might take it for ever.
            Piece::Seconds => remaining.as_secs().max(1).to_string(),
        };
        let arguments = self.arguments.iter().map(|pieces| pieces.iter().map(fill).collect());
        Ok(std::iter::once(self.program.clone()).chain(arguments).collect())
    }
}

fn port_list(ports: &Ports) -> String {
    match ports {
        Ports::All => "all".to_owned(),
        Ports::Tcp(ports) => ports.iter().map(u16::to_string).collect::<Vec<_>>().join(","),
    }
}

fn pieces(argument: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = argument;
    while let Some((text, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| TemplateError::Blank(format!("{{{after}")))?;
        pieces.push(Piece::Text(text.to_owned()));
        pieces.push(match name {
            "address" => Piece::Address,
            "network" => Piece::Network,
            "ports" => Piece::Ports,
            "seconds" => Piece::Seconds,
            _ => return Err(TemplateError::Blank(format!("{{{name}}}"))),
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(argv: &str) -> Result<Template, TemplateError> {
        Template::parse(&argv.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check(argv: &str, network: &str, ports: &Ports, expected: &str) {
        let filled = parse(argv).unwrap().fill((network.parse().unwrap(), ports), Duration::from_secs(90));
        assert_eq!(filled.unwrap().join(" "), expected);
    }

    #[test]
    fn blanks_are_filled_in_wherever_they_stand() {
        let smtp = Ports::Tcp([25, 465].into());
        check("/sbin/fw add {network} {seconds}s", "192.0.2.0/24", &smtp, "/sbin/fw add 192.0.2.0/24 90s");
        check("/sbin/fw {network}", "192.0.2.7/32", &smtp, "/sbin/fw 192.0.2.7");
        check(
            "/sbin/fw ip={address},p={ports}",
            "2001:db8::1/128",
            &smtp,
            "/sbin/fw ip=2001:db8::1,p=25,465",
        );
        check("/sbin/fw {address} {ports}", "192.0.2.7/32", &Ports::All, "/sbin/fw 192.0.2.7 all");
    }

    #[test]
    fn a_program_for_addresses_is_not_run_for_a_network() {
        let filled = parse("/sbin/fw {address}")
            .unwrap()
            .fill(("192.0.2.0/24".parse().unwrap(), &Ports::All), Duration::ZERO);
        assert_eq!(filled.unwrap_err().to_string(), "/sbin/fw takes an address, not a network");
    }

    #[track_caller]
    fn check_refused(argv: &str, expected: &TemplateError) {
        assert_eq!(parse(argv).unwrap_err(), *expected);
    }

    #[test]
    fn what_could_not_be_run_is_refused() {
        check_refused("", &TemplateError::Program(String::new()));
        check_refused("fw {network}", &TemplateError::Program("fw".to_owned()));
        check_refused("/sbin/fw {ip}", &TemplateError::Blank("{ip}".to_owned()));
        check_refused("/sbin/fw {network", &TemplateError::Blank("{network".to_owned()));
        check_refused("/sbin/fw flush", &TemplateError::Nobody);
    }
}
