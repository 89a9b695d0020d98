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
    all()
        .router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(shared.clone(), exchange))
        .with_state(shared.clone())
}

/// All routes, for the document and for tests.
pub(crate) fn table() -> Vec<Route> {
    all().table
}

#[rustfmt::skip]
fn all() -> Routes {
    const VIEWER: Rule = Rule::Role(Viewer);
    const OPERATOR: Rule = Rule::Role(Operator);
    const ADMIN: Rule = Rule::Role(Admin);
    Routes::default()
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
#[derive(Default)]
struct Routes {
    router: Router<Shared>,
    table: Vec<Route>,
}

impl Routes {
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
        let admission = from_fn_with_state(rule, admit);
        self.router = self.router.route(path, on(filter, handler).route_layer(admission));
        self.table.push(Route { method, path, rule });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Who may do what: a change here is a change of what people can do to a fleet.
    #[test]
    fn every_route_needs_the_role_that_is_printed_here() {
        let line = |route: &Route| {
            let role = route.rule.role().map_or("anybody", |role| role.as_str());
            format!("{role:8} {:6} {}\n", route.method, route.path)
        };
        let table: String = table().iter().map(line).collect();
        insta::assert_snapshot!(table, @r"
        anybody  GET    /health
        anybody  GET    /health/ready
        viewer   GET    /metrics
        viewer   GET    /api/v1/openapi.json
        viewer   GET    /api/v1/cluster
        viewer   GET    /api/v1/dwcp/status
        viewer   GET    /api/v1/members
        viewer   GET    /api/v1/members/{member}
        admin    DELETE /api/v1/members/{member}
        viewer   GET    /api/v1/hosts
        viewer   GET    /api/v1/hosts/{host}
        admin    DELETE /api/v1/hosts/{host}
        operator POST   /api/v1/hosts/{host}/cordon
        operator POST   /api/v1/hosts/{host}/uncordon
        viewer   GET    /api/v1/hosts/{host}/metrics
        viewer   GET    /api/v1/vms
        operator POST   /api/v1/vms
        viewer   GET    /api/v1/vms/{vm}
        operator DELETE /api/v1/vms/{vm}
        operator POST   /api/v1/vms/{vm}/start
        operator POST   /api/v1/vms/{vm}/stop
        operator POST   /api/v1/vms/{vm}/restart
        viewer   GET    /api/v1/vms/{vm}/explain
        operator GET    /api/v1/vms/{vm}/console
        viewer   GET    /api/v1/vms/{vm}/metrics
        viewer   GET    /api/v1/images
        operator POST   /api/v1/images
        viewer   GET    /api/v1/images/{image}
        operator DELETE /api/v1/images/{image}
        operator POST   /api/v1/blobs/missing
        operator PUT    /api/v1/blobs/{digest}
        admin    GET    /api/v1/tokens
        admin    POST   /api/v1/tokens
        admin    DELETE /api/v1/tokens/{token}
        admin    GET    /api/v1/users
        admin    POST   /api/v1/users
        admin    DELETE /api/v1/users/{user}
        viewer   GET    /api/v1/operations
        viewer   GET    /api/v1/operations/{operation}
        operator POST   /api/v1/operations/{operation}/cancel
        viewer   GET    /api/v1/events
        ");
    }

    #[test]
    fn the_document_has_these_routes_and_no_others() {
        let document: serde_json::Value = serde_json::from_str(&openapi::document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let methods = |(path, methods): (&String, &serde_json::Value)| {
            let names = methods.as_object().unwrap().keys();
            names.map(|name| format!("{} {path}", name.to_uppercase())).collect::<Vec<_>>()
        };
        let documented: BTreeSet<String> = paths.iter().flat_map(methods).collect();
        let table = table();
        let routed: BTreeSet<String> =
            table.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(documented, routed);
        assert_eq!(table.len(), routed.len(), "a route is there twice");
    }
}
