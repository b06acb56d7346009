//! How long a page of a list is, and where it begins.

use std::str::FromStr;

use keygate_core::manager::MAX_PAGE;

use crate::problem::Problem;

/// How many things are on a page when nobody says.
const PAGE: usize = 100;

/// How many things are to be on a page.
pub(crate) fn length(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::invalid(format!("limit: must be 1 to {MAX_PAGE}")));
    }
    Ok(limit)
}

/// Where the page begins.
pub(crate) fn begin<C: FromStr>(cursor: Option<String>) -> Result<Option<C>, Problem> {
    let not_given = |_| Problem::invalid("cursor: must be the next_cursor of an earlier page");
    cursor.map(|text| text.parse()).transpose().map_err(not_given)
}
