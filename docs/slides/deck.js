// Starts reveal.js, lights the lines of a step, and keeps the author and the date of the title slide.
const printing = /print-pdf/.test(location.search)
if (printing) {  // a page for each line helps nobody
  document.querySelectorAll('.step').forEach(step => step.remove())
  document.querySelectorAll('.summary .fragment').forEach(line => line.classList.remove('fragment'))
}

// while a step is shown, its lines are lit and the others are dim
function light() {
  for (const slide of document.querySelectorAll('section')) {
    const last = [...slide.querySelectorAll('.fragment.visible')].at(-1)
    const lines = last?.dataset.lines ? last.dataset.lines.split(',') : null
    slide.querySelectorAll('.line').forEach(line => line.classList.toggle('dim', lines !== null && !lines.includes(line.dataset.line)))
  }
}

// a stepper takes a step with each key, so that a presenter's remote control moves it
function step(slide) {
  const buttons = [...slide.querySelectorAll('.live input')]
  const start = buttons.findIndex(button => button.defaultChecked)
  const button = buttons[start + slide.querySelectorAll('.step.visible').length]
  if (button) button.checked = true
}

// the author is remembered for all decks; the date is today's unless somebody types another
function fill(field) {
  const given = JSON.parse(document.getElementById('fields').textContent)[field.dataset.name]
  const today = new Date().toLocaleDateString(undefined, { dateStyle: 'long' })
  const key = `slides-${field.dataset.name}`
  const remembered = field.dataset.name === 'author' ? localStorage.getItem(key) : today
  field.textContent = given || remembered || ''
  field.addEventListener('input', () => localStorage.setItem(key, field.textContent))
}

document.querySelectorAll('.field').forEach(fill)
Reveal.initialize({
  width: 1280, height: 720, margin: 0, center: false,
  hash: true, slideNumber: slide => [slide?.dataset.number ?? ''],  // as in the guide's plan, in the short deck too
  transition: 'none', plugins: [RevealNotes],
  pdfSeparateFragments: true, scrollLayout: 'compact',  // on a phone the slides stand below each other
})
for (const event of ['ready', 'slidechanged', 'fragmentshown', 'fragmenthidden']) {
  Reveal.on(event, () => { light(); step(Reveal.getCurrentSlide()) })
}
// the arrow keys belong to the stepper while it has the focus; Escape gives them back
addEventListener('keydown', event => {
  if (event.key !== 'Escape' || !document.activeElement.closest('.live, .field')) return
  document.activeElement.blur()
  event.stopPropagation()  // reveal.js would show all slides at once
}, true)
// on paper reveal.js counts the pages; a slide has its number there, too
function number() {
  for (const page of document.querySelectorAll('.pdf-page')) {
    const slide = page.querySelector('section[data-number]')
    const printed = page.querySelector('.slide-number-pdf')
    if (slide && printed) printed.textContent = slide.dataset.number
  }
}
Reveal.on('pdf-ready', () => { number(); document.documentElement.dataset.pdf = 'ready' })  // pdf.py waits for it
