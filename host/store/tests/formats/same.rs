//! Asks both stores the same.

macro_rules! same {
    ($left:expr, $right:expr, $store:ident => $call:expr) => {{
        let left = {
            let $store: &dyn Store = $left;
            $call.await
        };
        let right = {
            let $store: &dyn Store = $right;
            $call.await
        };
        assert_eq!(left, right);
    }};
}
