//! What the document says of every route alike, so that no route has to.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi, PathItem, Ref, RefOr, ResponseBuilder};

/// The media type of problems.
const PROBLEM: &str = "application/problem+json";

/// Says of every route that whatever goes wrong is told as a problem, in the media type of these.
pub(crate) fn with_problems(mut openapi: OpenApi) -> OpenApi {
    for item in openapi.paths.paths.values_mut() {
        for operation in operations(item) {
            let responses = &mut operation.responses.responses;
            for (status, response) in responses.iter_mut() {
                if let RefOr::T(response) = response
                    && status.starts_with(['4', '5'])
                    && let Some(content) = response.content.shift_remove("application/json")
                {
                    let is_problem = content == RefOr::T(problem());
                    let name = if is_problem {
                        PROBLEM
                    } else {
                        "application/json"
                    };
                    response.content.insert(name.to_owned(), content);
                }
            }
            let other = ResponseBuilder::new()
                .description("Anything else: the request cannot be read, or not be answered now")
                .content(PROBLEM, problem());
            responses.insert("default".to_owned(), RefOr::T(other.build()));
        }
    }
    openapi
}

fn problem() -> Content {
    Content::new(Some(Ref::from_schema_name("ProblemBody")))
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}
