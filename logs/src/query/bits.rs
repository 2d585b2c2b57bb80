//! A set of lines of one block.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
    lines: usize,
}

impl Bits {
    pub(super) fn none(lines: usize) -> Self {
        Self { words: vec![0; lines.div_ceil(64)], lines }
    }

    pub(super) fn all(lines: usize) -> Self {
        let mut all = Self { words: vec![u64::MAX; lines.div_ceil(64)], lines };
        if let Some(last) = all.words.last_mut()
            && !lines.is_multiple_of(64)
        {
            *last = (1 << (lines % 64)) - 1;
        }
        all
    }

    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    #[inline]
    pub(super) fn set(&mut self, line: usize) {
        if let Some(word) = self.words.get_mut(line / 64) {
            *word |= 1 << (line % 64);
        }
    }

    pub(super) fn unset(&mut self, line: usize) {
        if let Some(word) = self.words.get_mut(line / 64) {
            *word &= !(1 << (line % 64));
        }
    }

    /// Those that pass a test.
    pub(super) fn filtered(&self, test: impl Fn(usize) -> bool) -> Self {
        let mut passed = Self::none(self.lines);
        self.iter().filter(|line| test(*line)).for_each(|line| passed.set(line));
        passed
    }

    #[inline]
    pub(super) fn has(&self, line: usize) -> bool {
        self.words.get(line / 64).is_some_and(|word| word >> (line % 64) & 1 != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(super) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    pub(super) fn keep(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    pub(super) fn remove(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// The lines, the last first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().rev().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.checked_ilog2()?;
                left ^= 1 << bit;
                Some(at * 64 + bit as usize)
            })
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at * 64 + bit as usize)
            })
        })
    }
}
