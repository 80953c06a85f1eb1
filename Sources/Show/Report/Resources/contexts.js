// The texts in which a feature counts most.

function loss(attribution) {
  if (!attribution) return '';
  return attribution < 0 ? ' ▼ lowers the loss' : ' ▲ raises the loss';
}

function contextItem(context, largest) {
  const token = (text, activation, isPeak) => {
    const strength = largest > 0 && activation ? Math.min(Math.abs(activation) / largest, 1) : 0;
    return make(isPeak ? 'mark' : 'bdi', {
      'class': 'token', dir: isPeak ? 'auto' : null,
      'data-level': strength > 0 ? Math.max(1, Math.ceil(strength * 4)) : null,
      'data-sign': strength > 0 ? (activation < 0 ? 'minus' : 'plus') : null,
      'data-value': activation ? number(activation, 2) : null,
      title: activation ? `activation ${number(activation)}` : null,
    }, shown(text));
  };
  const numbers = ['activation', 'gradient', 'attribution'].filter((name) => context[name] !== undefined)
    .map((name) => `${name} ${number(context[name])}${name === 'attribution' ? loss(context[name]) : ''}`);
  const from = context.quantile === undefined ? `${context.rank}.` : `From part ${context.quantile} of the range:`;
  const before = context.activations_before ?? [];
  const after = context.activations_after ?? [];
  return make('li', {},
    make('p', { 'class': 'where' }, [
      `${from} sample ${grouped(context.sample)}, position ${grouped(context.position)}`, ...numbers].join(' · ')),
    make('p', { 'class': 'text' },
      ...context.before.map((text, index) => token(text, before[index])),
      token(context.token, context.activation ?? context[context.by], true),
      ...context.after.map((text, index) => token(text, after[index]))));
}

function contextList(place, all) {
  const magnitudes = all.flatMap((context) => [
    context.activation ?? context[context.by], ...context.activations_before ?? [],
    ...context.activations_after ?? []]).map((value) => Math.abs(value ?? 0));
  const largest = Math.max(...magnitudes);
  const numbers = make('input', { type: 'checkbox' });
  const list = make('ol', { 'class': 'contexts' }, ...all.map((context) => contextItem(context, largest)));
  numbers.addEventListener('change', () => list.classList.toggle('numbers', numbers.checked));
  return [
    make('p', { 'class': 'legend' },
      'Boxed: the position itself. ',
      make('span', { 'class': 'token', 'data-level': 1, 'data-sign': 'plus' }, 'little'), ' to ',
      make('span', { 'class': 'token', 'data-level': 4, 'data-sign': 'plus' }, 'much'),
      ': how strongly it is active; ',
      make('span', { 'class': 'token', 'data-level': 2, 'data-sign': 'minus' }, 'dashed'), ': below 0. '
        + `Unmarked: its activation is 0 or was not recorded${data.stride > 1 ? ` (1 position in ${data.stride} is)` : ''}. `,
      make('label', {}, numbers, ' numbers')),
    list];
}
