// Figures: their data, and the points in them that the pointer and the keys find.

function caption(figure, name, rows, readout = '') {
  const act = async () => download(name, await rows());
  figure.append(
    make('figcaption', {}, button('Data (TSV)', act, { 'aria-label': `Data of ${name} (TSV)` }), readout));
}

function histogramRows({ edges, counts }) {
  return [['from', 'to', 'count'], ...counts.map((count, bin) => [edges[bin], edges[bin + 1], count])];
}

async function scatterRows(place, figure) {
  const listed = new Map(place.rows.map((row) => [row[1], row]));
  const all = await values(place, figure);
  const error = `${figure.measure}_se`;
  return [
    ['site', 'layer', 'index', figure.measure, error, 'is_rounded'],
    ...all.map((value, index) => {
      const row = listed.get(index);
      if (row) return [place.site, place.layer, index, valueOf(row, figure.measure), valueOf(row, error), 0];
      const isRounded = Boolean(figure.step);
      const text = Number.isNaN(value) ? 'NaN' : String(isRounded ? Number(value.toPrecision(5)) : shortest(value));
      return [place.site, place.layer, index, text, null, isRounded ? 1 : 0];
    })];
}

function profileRows(site) {
  return [
    ['site', 'layer', 'minimum', 'lower_quartile', 'median', 'upper_quartile', 'maximum'],
    ...data.places.filter((place) => place.site === site && place.range)
      .map((place) => [place.site, place.layer, ...place.range])];
}

// The listed features of a scatter plot, which the pointer and the keys find.
class LivePoints {
  constructor(place, figure, box) {
    this.place = place;
    this.measure = figure.measure;
    const [x, y, width, height] = figure.area;
    const at = (value, [low, high]) => (value - low) / (high - low);
    const id = `${place.place}-${figure.measure}`;
    this.points = place.rows.flatMap((row) => {
      const value = valueOf(row, figure.measure);
      if (value === null) return [];
      const [cx, cy] = [x + at(row[1], figure.x) * width, y + (1 - at(value, figure.y)) * height];
      const circle = make('circle', {
        cx: cx.toFixed(2), cy: cy.toFixed(2), r: 3.5, role: 'option', id: `point-${id}-${row[1]}`,
        'aria-label': words(place, row, figure.measure), 'aria-selected': 'false',
      });
      return [{ row, cx, cy, circle }];
    });
    const frame = box.querySelector('svg').viewBox.baseVal;
    this.frame = frame;
    this.ring = make('circle', { r: 7, 'class': 'ring', role: 'presentation', visibility: 'hidden' });
    this.svg = make('svg', {
      'class': 'live', viewBox: `0 0 ${frame.width} ${frame.height}`, role: 'listbox', tabindex: 0,
      'aria-label': `The first ${place.unit}s of ${place.place} by ${data.ranking}, ${figure.measure}: arrow keys go `
        + 'from one to the next, Enter leads to its row',
    }, ...this.points.map((point) => point.circle), this.ring);
    this.readout = make('p', { 'class': 'readout' }, 'Point at a ring, or take the arrow keys: its values.');
    box.append(this.svg);
    this.listen();
  }

  listen() {
    this.svg.addEventListener('focus', () => this.choose(this.chosen ?? 0));
    this.svg.addEventListener('keydown', (event) => {
      const last = this.points.length - 1;
      const now = this.chosen ?? 0;
      const next = {
        ArrowRight: Math.min(now + 1, last), ArrowDown: Math.min(now + 1, last), ArrowLeft: Math.max(now - 1, 0),
        ArrowUp: Math.max(now - 1, 0), Home: 0, End: last,
      }[event.key];
      if (next !== undefined) this.choose(next);
      else if (event.key === 'Enter' || event.key === ' ') this.follow();
      else return;
      event.preventDefault();
    });
    this.svg.addEventListener('pointermove', (event) => {
      const near = this.nearest(event);
      if (near !== null) this.choose(near);
    });
    this.svg.addEventListener('click', (event) => {
      const near = this.nearest(event);
      if (near === null) return;
      this.choose(near);
      this.follow();
    });
  }

  nearest(event) {
    const box = this.svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * this.frame.width;
    const y = (event.clientY - box.top) / box.height * this.frame.height;
    let [best, distance] = [null, 16];
    for (const [number, { cx, cy }] of this.points.entries()) {
      const away = Math.hypot(cx - x, cy - y);
      if (away < distance) [best, distance] = [number, away];
    }
    return best;
  }

  choose(number) {
    if (this.chosen !== undefined) this.points[this.chosen].circle.setAttribute('aria-selected', 'false');
    this.chosen = number;
    const { row, cx, cy, circle } = this.points[number];
    circle.setAttribute('aria-selected', 'true');
    this.svg.setAttribute('aria-activedescendant', circle.id);
    this.ring.setAttribute('cx', cx);
    this.ring.setAttribute('cy', cy);
    this.ring.setAttribute('visibility', 'visible');
    this.readout.textContent = words(this.place, row, this.measure);
  }

  follow() {
    location.hash = `#${this.place.place}/${this.points[this.chosen].row[1]}`;
  }
}
