//! `novacron user`: who may call the API.

use clap::{Subcommand, ValueEnum};
use novacron_protocol::Name;
use novacron_protocol::api::user::{CreateUser, UserCreated, UserRole, UserView};

use crate::client::Answer;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::{age, table::Cell, table::Table};
use crate::resolve;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add a user and print their token, this once
    #[command(after_help = "Examples:
  novacron user create ann --role operator

The token goes into a context file of its own, with the endpoints and ca_pem of yours.")]
    Create {
        /// Name of the user
        name: Name,
        /// What they may do
        #[arg(long)]
        role: Role,
    },
    /// List users
    List,
    /// Remove a user; their token is refused from then on
    Delete {
        /// Name or id of the user
        user: String,
    },
}

/// Each role includes the one before.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Role {
    /// Reads everything but secrets
    Viewer,
    /// Runs VMs and images, cordons hosts
    Operator,
    /// Users, tokens, members, removal of hosts
    Admin,
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let client = invocation.client()?;
    match verb {
        Verb::Create { name, role } => {
            let role = match role {
                Role::Viewer => UserRole::Viewer,
                Role::Operator => UserRole::Operator,
                Role::Admin => UserRole::Admin,
            };
            let created: Answer<UserCreated> = client.post("/users", &CreateUser { name, role })?;
            invocation.output.show(&created.value, || Ok(format!("{}\n", created.view.token)))
        }
        Verb::List => {
            let users = client.list::<UserView>("/users")?;
            invocation.output.show(&users.value, || Ok(list(invocation, &users.view)))
        }
        Verb::Delete { user } => {
            let user = resolve::find::<UserView>(&client, &user)?;
            client.delete(&format!("/users/{}", user.view.id))?;
            invocation
                .output
                .show(&user.value, || Ok(format!("user {} is deleted\n", user.view.name)))
        }
    }
}

fn list(invocation: &Invocation, users: &[UserView]) -> String {
    let mut table = Table::new(&["NAME", "ROLE", ">AGE", "ID"]);
    let ids: Vec<String> = users.iter().map(|user| user.id.to_string()).collect();
    for (user, id) in users.iter().zip(resolve::short_ids(&ids)) {
        table.row(vec![
            Cell::new(&user.name),
            Cell::new(user.role),
            Cell::new(age::since(user.created_at, invocation.now)),
            Cell::dim(id),
        ]);
    }
    invocation.output.table_or(&table, "no users")
}
