//! Every route, in one place: path, method, who may, and what answers.
//!
//! A route cannot be added without a [`Rule`]: it is an argument of [`Routes::add`]. A test
//! compares this table with the OpenAPI document, both ways.

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};
use novacron_controlplane_core::user::Role::{Admin, Operator, Viewer};

use super::access::{Rule, admit};
use super::exchange::{exchange, method_not_allowed, no_such_route};
use super::{
    Shared, blob, cluster, dwcp, event, host, image, member, metrics, openapi, operation,
    prometheus, token, user, vm,
};

/// One method of one path, with who may call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
}

pub(crate) fn build(shared: &Shared) -> Router {
    let routes = all(shared);
    routes
        .router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(shared.clone(), exchange))
        .with_state(shared.clone())
}

#[rustfmt::skip]
fn all(shared: &Shared) -> Routes {
    const VIEWER: Rule = Rule::Role(Viewer);
    const OPERATOR: Rule = Rule::Role(Operator);
    const ADMIN: Rule = Rule::Role(Admin);
    Routes::new(shared)
        .add("GET", "/health", Rule::Public, cluster::health)
        .add("GET", "/health/ready", Rule::Public, cluster::ready)
        .add("GET", "/metrics", VIEWER, prometheus::scrape)
        .add("GET", "/api/v1/openapi.json", VIEWER, openapi::serve)
        .add("GET", "/api/v1/cluster", VIEWER, cluster::show)
        .add("GET", "/api/v1/dwcp/status", VIEWER, dwcp::status)
        .add("GET", "/api/v1/members", VIEWER, member::list)
        .add("GET", "/api/v1/members/{member}", VIEWER, member::show)
        .add("DELETE", "/api/v1/members/{member}", ADMIN, member::remove)
        .add("GET", "/api/v1/hosts", VIEWER, host::list)
        .add("GET", "/api/v1/hosts/{host}", VIEWER, host::show)
        .add("DELETE", "/api/v1/hosts/{host}", ADMIN, host::remove)
        .add("POST", "/api/v1/hosts/{host}/cordon", OPERATOR, host::cordon)
        .add("POST", "/api/v1/hosts/{host}/uncordon", OPERATOR, host::uncordon)
        .add("GET", "/api/v1/hosts/{host}/metrics", VIEWER, metrics::of_host)
        .add("GET", "/api/v1/vms", VIEWER, vm::list)
        .add("POST", "/api/v1/vms", OPERATOR, vm::create)
        .add("GET", "/api/v1/vms/{vm}", VIEWER, vm::show)
        .add("DELETE", "/api/v1/vms/{vm}", OPERATOR, vm::delete)
        .add("POST", "/api/v1/vms/{vm}/start", OPERATOR, vm::start)
        .add("POST", "/api/v1/vms/{vm}/stop", OPERATOR, vm::stop)
        .add("POST", "/api/v1/vms/{vm}/restart", OPERATOR, vm::restart)
        .add("GET", "/api/v1/vms/{vm}/explain", VIEWER, vm::explain)
        // A console may show what was typed into it, passwords too.
        .add("GET", "/api/v1/vms/{vm}/console", OPERATOR, vm::console)
        .add("GET", "/api/v1/vms/{vm}/metrics", VIEWER, metrics::of_vm)
        .add("GET", "/api/v1/images", VIEWER, image::list)
        .add("POST", "/api/v1/images", OPERATOR, image::create)
        .add("GET", "/api/v1/images/{image}", VIEWER, image::show)
        .add("DELETE", "/api/v1/images/{image}", OPERATOR, image::delete)
        .add("POST", "/api/v1/blobs/missing", OPERATOR, blob::missing)
        .add("PUT", "/api/v1/blobs/{digest}", Rule::RoleStreamed(Operator), blob::put)
        .add("GET", "/api/v1/tokens", ADMIN, token::list)
        .add("POST", "/api/v1/tokens", ADMIN, token::create)
        .add("DELETE", "/api/v1/tokens/{token}", ADMIN, token::revoke)
        .add("GET", "/api/v1/users", ADMIN, user::list)
        .add("POST", "/api/v1/users", ADMIN, user::create)
        .add("DELETE", "/api/v1/users/{user}", ADMIN, user::delete)
        .add("GET", "/api/v1/operations", VIEWER, operation::list)
        .add("GET", "/api/v1/operations/{operation}", VIEWER, operation::show)
        .add("POST", "/api/v1/operations/{operation}/cancel", OPERATOR, operation::cancel)
        .add("GET", "/api/v1/events", VIEWER, event::read)
}

/// Routes as they are collected.
struct Routes {
    shared: Shared,
    router: Router<Shared>,
    table: Vec<Route>,
}

impl Routes {
    fn new(shared: &Shared) -> Self {
        Self { shared: shared.clone(), router: Router::new(), table: Vec::new() }
    }

    fn add<H, T>(mut self, method: &'static str, path: &'static str, rule: Rule, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let filter = match method {
            "GET" => MethodFilter::GET,
            "POST" => MethodFilter::POST,
            "PUT" => MethodFilter::PUT,
            "DELETE" => MethodFilter::DELETE,
            other => unreachable!("no route takes {other}"),
        };
        let admission = from_fn_with_state((self.shared.clone(), rule), admit);
        self.router = self.router.route(path, on(filter, handler).route_layer(admission));
        self.table.push(Route { method, path, rule });
        self
    }
}
