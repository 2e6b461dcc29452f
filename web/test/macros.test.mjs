// How macros are written, completed, put in and found again, without a browser.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addParameter, completing, highlighted, insertion, notation, signatureParameter } from '../setup/macros.mjs'

const list = [['ymid', 'the id of the view', 'user123'], ['event_type', 'impression or click', 'impression'], ['test', '1 for a test', ''],
  ['estimated_price', 'the network’s estimate', '0.0023'], ['signature', 'the signature of a GET', 'b01f'], ['field.NAME', 'a further field', 'text']]
const setup = {
  macros: list.map(([name, meaning, sample]) => ({ name, meaning, sample, written: `{${name}}` })),
  dialects: [
    { name: 'percents', macros: list.map(([name]) => ({ name, written: `%${name === 'ymid' ? 'sub1' : name}%` })) },
    { name: 'dollars', macros: list.map(([name]) => ({ name, written: `\${${name}}` })) },
    { name: 'lines', macros: list.map(([name]) => ({ name, written: `__${name}__` })) },
  ],
}
const own = notation(setup, '')
const percents = notation(setup, 'percents')

test('what stands around a name', () => {
  for (const [dialect, open, close, signature] of [
    ['', '{', '}', '{signature}'], ['percents', '%', '%', '%signature%'], ['dollars', '${', '}', '${signature}'], ['lines', '__', '__', '__signature__'],
    ['gone', '{', '}', '{signature}'],
  ]) {
    const known = notation(setup, dialect)
    assert.deepEqual([known.open, known.close, known.signature], [open, close, signature], dialect)
    assert.equal(known.macros[0].meaning, 'the id of the view', dialect)
  }
  assert.equal(percents.macros[0].written, '%sub1%')
})

test('which macro is being written', () => {
  for (const [name, text, known, want] of [
    ['just begun', 'https://a.example/?x={', own, '{ymid}'],
    ['by its first letters', 'https://a.example/?x={ev', own, '{event_type}'],
    ['by what it holds', 'https://a.example/?x={price', own, '{estimated_price}'],
    ['by what it means', 'https://a.example/?x={click', own, '{event_type}'],
    ['in capitals', 'https://a.example/?x={YM', own, '{ymid}'],
    ['nothing of that name', 'https://a.example/?x={zz', own, undefined],
    ['not begun', 'https://a.example/?x=', own, undefined],
    ['whole', 'https://a.example/?x={ymid}', own, undefined],
    ['behind a whole one', 'https://a.example/?x={ymid}&y=1', own, undefined],
    ['percent, just begun', 'https://a.example/?x=%', percents, '%sub1%'],
    ['percent, by carom’s name', 'https://a.example/?x=%ymi', percents, '%sub1%'],
    ['percent, whole', 'https://a.example/?x=%sub1%', percents, undefined],
    ['percent, a character', 'https://a.example/?x=%2F', percents, undefined],
    ['dollar without its brace', 'https://a.example/?x=$', notation(setup, 'dollars'), undefined],
    ['dollar', 'https://a.example/?x=${te', notation(setup, 'dollars'), '${test}'],
  ]) {
    assert.equal(completing(text, text.length, known)?.fits[0].written, want, name)
  }
  assert.deepEqual(completing('?x={ym&y=1', 6, own).from, 3)
})

test('a parameter is added before the signature', () => {
  for (const [url, want] of [
    ['https://a.example/p', 'https://a.example/p?ymid={ymid}'],
    ['https://a.example/p?', 'https://a.example/p?ymid={ymid}'],
    ['https://a.example/p?a=1', 'https://a.example/p?a=1&ymid={ymid}'],
    ['https://a.example/p?a=1&', 'https://a.example/p?a=1&ymid={ymid}'],
    ['https://a.example/p?a=1&sig={signature}', 'https://a.example/p?a=1&ymid={ymid}&sig={signature}'],
    ['https://a.example/p?sig={signature}', 'https://a.example/p?ymid={ymid}&sig={signature}'],
  ]) {
    assert.equal(addParameter(url, 'ymid', '{ymid}', '{signature}'), want)
  }
  assert.equal(addParameter('https://a.example/?a=1', 'sig', '{signature}', '{signature}'), 'https://a.example/?a=1&sig={signature}')
})

test('a click puts a macro at the caret, or a parameter at the end', () => {
  const [ymid] = own.macros
  const further = own.macros.at(-1)
  for (const [name, text, start, end, macro, isURL, want] of [
    ['behind an equals sign', 'https://a.example/?x=', 21, 21, ymid, true, 'https://a.example/?x={ymid}'],
    ['in place of a selection', 'https://a.example/?x=old&y=1', 21, 24, ymid, true, 'https://a.example/?x={ymid}&y=1'],
    ['in a path', 'https://a.example/', 18, 18, ymid, true, 'https://a.example/{ymid}'],
    ['at the end', 'https://a.example/p', 19, 19, ymid, true, 'https://a.example/p?ymid={ymid}'],
    ['a further field', 'https://a.example/p', 19, 19, further, true, 'https://a.example/p?NAME={field.NAME}'],
    ['in an empty text', '', 0, 0, ymid, true, '{ymid}'],
    ['in a body', '{"a":"', 6, 6, ymid, false, '{"a":"{ymid}'],
  ]) {
    assert.equal(insertion(text, start, end, macro, own, isURL).text, want, name)
  }
})

test('values are found in what was rendered', () => {
  const uses = own.macros
  const found = (template, rendered) => highlighted(template, rendered, uses).map((p) => (p.macro ? `[${p.macro}:${p.text}]` : p.masked ? `(${p.text})` : p.text)).join('')
  for (const [name, template, rendered, want] of [
    ['none', 'https://a.example/', 'https://a.example/', 'https://a.example/'],
    ['one', 'https://a.example/?x={ymid}', 'https://a.example/?x=user123', 'https://a.example/?x=[ymid:user123]'],
    ['a secret beside it', 'https://a.example/?x={ymid}&token=abc&y={test}', 'https://a.example/?x=user123&token=***&y=', 'https://a.example/?x=[ymid:user123]&token=(***)&y=[test:]'],
    ['a masked value', 'https://a.example/?x={ymid}&sig={signature}', 'https://a.example/?x=user123&sig=***', 'https://a.example/?x=[ymid:user123]&sig=[signature:***]'],
    ['side by side', 'https://a.example/?x={ymid}{event_type}', 'https://a.example/?x=user123impression', 'https://a.example/?x=[ymid:user123][event_type:impression]'],
    ['a value that holds what follows', 'https://a.example/?x={ymid}1&y=2', 'https://a.example/?x=user1231&y=2', 'https://a.example/?x=[ymid:user123]1&y=2'],
    ['another value than the sample', 'https://a.example/{ymid}/p', 'https://a.example/other/p', 'https://a.example/[ymid:other]/p'],
    ['in the path', 'https://a.example/{ymid}', 'https://a.example/user123', 'https://a.example/[ymid:user123]'],
    ['two that do not fit', 'https://a.example/?x={ymid}', 'https://b.example/?x=user123', 'https://b.example/?x=user123'],
    ['more behind', 'https://a.example/?x={ymid}&y=1', 'https://a.example/?x=user123&y=12', 'https://a.example/?x=user123&y=12'],
  ]) {
    assert.equal(found(template, rendered), want, name)
    assert.equal(highlighted(template, rendered, uses).map((p) => p.text).join(''), rendered, `${name}: all of it is shown`)
  }
})

test('the parameter that holds the signature', () => {
  for (const [url, want] of [
    ['https://a.example/?x=1&hash={signature}', 'hash'], ['https://a.example/?s={signature}', 's'], ['https://a.example/?x=1', 'sig'], ['', 'sig'],
  ]) {
    assert.equal(signatureParameter(url, '{signature}'), want)
  }
})
