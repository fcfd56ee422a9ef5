// Shortening text.

// Return the longest beginning of at most `most` code points that doesn't cut a visible character in half.
export function shorten(text, most) {
  let end = 0;
  let left = most;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    left -= [...segment].length;
    if (left < 0) break;
    end += segment.length;
  }
  return end ? text.slice(0, end) : [...text].slice(0, most).join(""); // a single character may be longer than `most`
}
