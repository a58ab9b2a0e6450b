//! Whether pages are as long as they were asked for.

/// Compares the pages of a list with the size that was asked for: an API that does not know the parameter, or
/// caps it, says nothing of it.
///
/// [`Paginate`](crate::Paginate) does so by itself; this is for plugins with another way to page.
#[derive(Debug, Clone, Default)]
pub struct PageSizes {
    most: u64,
    /// Pages that had another one with items after them.
    before_others: u64,
    last: u64,
}

impl PageSizes {
    /// The next page of a list has so many items.
    pub fn page(&mut self, items: u64) {
        if self.last > 0 && items > 0 {
            self.before_others += 1;
        }
        self.most = self.most.max(items);
        self.last = items;
    }

    /// The list begins again.
    pub fn restart(&mut self) {
        self.last = 0;
    }

    /// The items of the longest page.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.most
    }

    /// What is wrong, if `asked` items a page were asked for: pages are longer, or each is shorter, the last one left
    /// out.
    #[must_use]
    pub fn finding(&self, asked: u64) -> Option<String> {
        let most = self.most;
        if most > asked {
            Some(format!(
                "a page has {most} items, and {asked} were asked for: the API does not heed it"
            ))
        } else if self.before_others > 0 && most < asked {
            Some(format!(
                "pages have {most} items at most, and {asked} were asked for: the API has a lower cap, or does \
                 not heed it"
            ))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PageSizes;

    #[test]
    fn sizes() {
        for (pages, said) in [
            (&[][..], None),
            (&[0], None),
            (&[7], None),
            (&[10, 10, 3], None),
            (&[7, 10, 3], None),
            // The last one may be short, and an empty one after it says no more.
            (&[7, 0], None),
            (&[7, 7], Some("7 items at most")),
            (&[5, 5, 5, 0], Some("5 items at most")),
            (&[11], Some("has 11 items")),
            (&[10, 30], Some("has 30 items")),
        ] {
            let mut sizes = PageSizes::default();
            pages.iter().for_each(|items| sizes.page(*items));
            let finding = sizes.finding(10);
            let fits = match (said, &finding) {
                (None, None) => true,
                (Some(said), Some(finding)) => finding.contains(said),
                _ => false,
            };
            assert!(fits, "{pages:?}: {finding:?}");
        }
    }
}
