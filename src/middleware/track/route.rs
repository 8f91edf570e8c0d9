//! What a request is called in its event: method and route.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, Request, header};

use super::intern;
use crate::Text;

/// The application's own way to name a route.
pub(super) type RouteFn = Arc<dyn Fn(&Parts) -> Option<Text> + Send + Sync>;

/// Longest method of another kind (`PROPFIND`) that is recorded by its name: what the wire holds.
const MAX_METHOD: usize = 10;

/// The method as text. One that is unusually long is `_OTHER`, the word the OpenTelemetry
/// conventions have for it.
pub(super) fn method_text(method: &Method) -> Text {
    if method.as_str().len() > MAX_METHOD {
        "_OTHER".into()
    } else {
        method.into()
    }
}

/// Whether this is a gRPC call, by its content type.
pub(super) fn is_grpc(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST
        && headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The template that axum's router matched.
#[cfg(feature = "axum")]
pub(super) fn template<B>(request: &Request<B>) -> Option<&str> {
    request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map(axum::extract::MatchedPath::as_str)
}

/// Without axum nobody tells a template.
#[cfg(not(feature = "axum"))]
pub(super) fn template<B>(_: &Request<B>) -> Option<&str> {
    None
}

/// The application's name for the route, if it has one, and the request again.
///
/// A naming function that panics costs the route its name, never the request its answer.
pub(super) fn ask<B>(name: &RouteFn, request: Request<B>) -> (Option<Text>, Request<B>) {
    let (parts, body) = request.into_parts();
    let route = catch_unwind(AssertUnwindSafe(|| name(&parts))).unwrap_or_default();
    (route, Request::from_parts(parts, body))
}

/// The route of a request: its template, the method of a gRPC service, else the folded path.
pub(super) fn route_text<B>(request: &Request<B>, grpc: bool) -> Text {
    let path = request.uri().path();
    match template(request) {
        // tonic's routes end in a wildcard, which hides the method
        Some(template) if !(grpc && template.ends_with('}') && template.contains("/{*")) => {
            intern_template(template)
        }
        // service and method name no entity; that it is a gRPC call is only the client's word
        _ if grpc && is_grpc_path(path) => intern::path(path),
        // `CONNECT` has no path
        _ if path.is_empty() => "/".into(),
        _ => intern::folded(path),
    }
}

/// Whether this is `/package.Service/Method`: two names made of identifiers, as protobuf has them.
fn is_grpc_path(path: &str) -> bool {
    let is_identifier = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && word.bytes().filter(u8::is_ascii_digit).count() < 5
    };
    let Some((service, method)) = path.strip_prefix('/').and_then(|p| p.split_once('/')) else {
        return false;
    };
    path.len() <= 256 && is_identifier(method) && service.split('.').all(is_identifier)
}

#[cfg(feature = "axum")]
fn intern_template(template: &str) -> Text {
    intern::template(template)
}

#[cfg(not(feature = "axum"))]
fn intern_template(template: &str) -> Text {
    Text::copied(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> Request<()> {
        Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .expect("a request")
    }

    #[test]
    fn a_method_of_one_s_own_is_bounded() {
        assert_eq!(method_text(&Method::GET), "GET");
        assert_eq!(method_text(request("PROPFIND", "/").method()), "PROPFIND");
        assert_eq!(
            method_text(request(&"X".repeat(500), "/").method()),
            "_OTHER"
        );
    }

    #[test]
    fn the_query_is_never_part_of_the_route() {
        assert_eq!(
            route_text(&request("GET", "/search?q=secret#x"), false),
            "/search"
        );
        assert_eq!(
            route_text(&request("GET", "http://host/a/42?x=1"), false),
            "/a/{id}"
        );
    }

    #[test]
    fn requests_without_a_path_have_the_root_or_a_star() {
        assert_eq!(
            route_text(&request("CONNECT", "example.com:443"), false),
            "/"
        );
        assert_eq!(route_text(&request("OPTIONS", "*"), false), "*");
    }

    #[test]
    fn the_method_of_a_grpc_call_is_kept_as_it_is() {
        let path = "/shop.v1.Catalog/GetItemsByNumberV2Streaming";
        assert_eq!(route_text(&request("POST", path), true), path);
    }

    #[test]
    fn a_naming_function_that_panics_names_nothing() {
        let name: RouteFn = Arc::new(|parts| {
            assert!(parts.uri.path() != "/panic", "no name for this one");
            Some("/named".into())
        });
        assert_eq!(
            ask(&name, request("GET", "/fine")).0.as_deref(),
            Some("/named")
        );
        let (route, request) = ask(&name, request("GET", "/panic"));
        assert_eq!(route, None);
        assert_eq!(request.uri().path(), "/panic");
    }

    #[test]
    fn grpc_is_told_by_method_and_content_type() {
        let mut headers = HeaderMap::new();
        assert!(!is_grpc(&Method::POST, &headers));
        headers.insert(
            header::CONTENT_TYPE,
            "application/grpc+proto".parse().expect("a value"),
        );
        assert!(is_grpc(&Method::POST, &headers));
        assert!(!is_grpc(&Method::GET, &headers));
    }
}
