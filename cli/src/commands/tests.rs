//! The command line as its users see it.

use super::*;

#[test]
fn the_command_line_is_consistent() {
    CommandLine::command().debug_assert();
}

/// Every help text, so that a change to any of them is seen in review.
#[test]
fn help_texts_are_as_recorded() {
    let mut command = CommandLine::command().term_width(100);
    command.build();
    let mut text = String::new();
    collect(&mut command, &mut text);
    insta::assert_snapshot!("help", text);
}

fn collect(command: &mut clap::Command, text: &mut String) {
    let title = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    text.push_str(&format!("===== {title} --help\n{}\n", command.render_long_help()));
    for subcommand in command.get_subcommands_mut() {
        collect(subcommand, text);
    }
}

#[test]
fn every_verb_of_the_contract_is_there() {
    for line in [
        "token create --role host --ttl 1h --uses 1",
        "token list",
        "token revoke 01",
        "user create ann --role viewer",
        "user list",
        "user delete ann",
        "dwcp status",
        "dwcp status h1",
        "member list",
        "member health",
        "member remove 2",
        "host list",
        "host show h1",
        "host cordon h1",
        "host uncordon h1",
        "host remove h1",
        "host metrics h1",
        "image import tiny --disk a.qcow2",
        "image import tiny --kernel k --initrd i --cmdline console=ttyS0",
        "image list",
        "image show tiny",
        "image delete tiny",
        "vm create web1 --image tiny --cpus 2 --memory 512MiB --disk 1GiB --label a=b --label c=d \
         --host-label zone=x --stopped --detach",
        "vm list",
        "vm show web1",
        "vm start web1",
        "vm stop web1 --force",
        "vm restart web1 --force",
        "vm delete web1",
        "vm explain web1",
        "vm metrics web1",
        "vm console web1 --tail 4096",
        "operation list",
        "operation show 01",
        "operation wait 01",
        "operation cancel 01",
        "event list --follow --after 7",
        "cluster status",
        "doctor",
        "completions bash",
    ] {
        let words = ["novacron"].into_iter().chain(line.split_whitespace());
        let words = words.chain(["-o", "json", "--config", "c.toml", "--endpoint", "https://a:1"]);
        if let Err(error) = CommandLine::try_parse_from(words) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    for line in [
        "vm create Web1 --image tiny",
        "vm create web1",
        "vm create web1 --image tiny --memory lots",
        "vm create web1 --image tiny --label novalue",
        "vm console web1 --tail 1GiB",
        "image import tiny",
        "image import tiny --initrd i",
        "image import tiny --disk d --cmdline x",
        "token create --role host --ttl soon",
        "token create --role host --ttl 31d",
        "token create --role host --uses 0",
        "token create",
        "user create ann --role king",
        "event list --after x",
        "vm list --endpoint http://a:1",
    ] {
        let words = ["novacron"].into_iter().chain(line.split_whitespace());
        let error = CommandLine::try_parse_from(words).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn completions_know_the_nouns() {
    let mut script = Vec::new();
    clap_complete::generate(Shell::Bash, &mut CommandLine::command(), "novacron", &mut script);
    let script = String::from_utf8(script).unwrap();
    for word in ["operation", "explain", "--detach", "completions"] {
        assert!(script.contains(word), "{word}");
    }
}
