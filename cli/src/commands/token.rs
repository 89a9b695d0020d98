//! `novacron token`: what new hosts and members join with.

use clap::{Subcommand, ValueEnum};
use novacron_protocol::Millis;
use novacron_protocol::api::host::HostView;
use novacron_protocol::api::token::{
    CreateToken, TOKEN_TTL_MAX, TOKEN_TTL_MIN, TOKEN_USES_MAX, TokenCreated, TokenView,
};
use novacron_protocol::join_token::JoinRole;

use crate::client::Answer;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::{age, table::Cell, table::Table, table::Tone};
use crate::resolve;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a join token and print it, this once
    #[command(after_help = "Examples:
  novacron token create --role host
  novacron token create --role host --ttl 7d --uses 40
  novacron token create --role host --host h7     # h7 was away for too long, or has a new disk
  novacron-agent join --config /etc/novacron/agent.toml $(novacron token create --role host)")]
    Create {
        /// What may join with it
        #[arg(long)]
        role: Role,
        /// How long it can be used, 1s to 30d
        #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = ttl)]
        ttl: Millis,
        /// How many may join with it
        #[arg(long, value_name = "COUNT", default_value_t = 1,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKEN_USES_MAX)))]
        uses: u32,
        /// The one host that comes back with it, with a new certificate: name, id, or its beginning
        #[arg(long, value_name = "HOST", conflicts_with = "uses")]
        host: Option<String>,
    },
    /// List tokens, without their secrets
    List,
    /// Make a token useless; who joined with it stays
    Revoke {
        /// Id of the token, or its beginning
        token: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// A hypervisor host, with novacron-agent
    Host,
    /// A further member of the control plane
    Member,
}

fn ttl(text: &str) -> Result<Millis, String> {
    let span = age::parse_span(text)?;
    if (TOKEN_TTL_MIN..=TOKEN_TTL_MAX).contains(&span) {
        Ok(span)
    } else {
        Err("a token lives 1s to 30d".to_owned())
    }
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let client = invocation.client()?;
    match verb {
        Verb::Create { role, ttl, uses, host } => {
            let role = match role {
                Role::Host => JoinRole::Host,
                Role::Member => JoinRole::Member,
            };
            let host = host.map(|host| resolve::find::<HostView>(&client, &host)).transpose()?;
            let host = host.map(|host| host.view.id);
            let request = CreateToken { role, ttl_ms: ttl, uses, host };
            let created: Answer<TokenCreated> = client.post("/tokens", &request)?;
            invocation.output.show(&created.value, || Ok(format!("{}\n", created.view.text)))
        }
        Verb::List => {
            let tokens = client.list::<TokenView>("/tokens")?;
            invocation.output.show(&tokens.value, || Ok(list(invocation, &tokens.view)))
        }
        Verb::Revoke { token } => {
            let token = resolve::find::<TokenView>(&client, &token)?;
            client.delete(&format!("/tokens/{}", token.view.id))?;
            invocation
                .output
                .show(&token.value, || Ok(format!("token {} is revoked\n", token.view.id)))
        }
    }
}

fn list(invocation: &Invocation, tokens: &[TokenView]) -> String {
    let mut table = Table::new(&["ID", "ROLE", "STATE", ">USES LEFT", ">EXPIRES", "BY", ">AGE"]);
    let ids: Vec<String> = tokens.iter().map(|token| token.id.to_string()).collect();
    for (token, id) in tokens.iter().zip(resolve::short_ids(&ids)) {
        let role = match (token.role, token.host) {
            (JoinRole::Host, Some(_)) => "host, again",
            (JoinRole::Host, None) => "host",
            (JoinRole::Member, _) => "member",
        };
        let state = match (token.valid, token.uses_left) {
            (true, _) => Cell::toned("valid", Tone::Good),
            (false, 0) => Cell::dim("used up"),
            (false, _) => Cell::dim("expired"),
        };
        table.row(vec![
            Cell::new(id),
            Cell::new(role),
            state,
            Cell::new(token.uses_left),
            Cell::new(age::until(token.expires_at, invocation.now)),
            Cell::or_dash(token.created_by.as_ref()),
            Cell::new(age::since(token.created_at, invocation.now)),
        ]);
    }
    invocation.output.table_or(&table, "no tokens; `novacron token create` makes one")
}
