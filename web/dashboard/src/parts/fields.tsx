import { Select, type SelectProps, TextInput, type TextInputProps } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { useEffect, useState } from 'react'
import { useApps } from './apps'
import type { Filter, FilterWord } from './filter'

interface FilterProps {
  word: FilterWord
  filter: Filter
  onChange: (change: Filter) => void
}

/** FilterText is a word of a filter that is typed. It counts a moment after the last key, so that not every letter asks the server. */
export function FilterText({ word, filter, onChange, ...rest }: FilterProps & Omit<TextInputProps, 'onChange' | 'value'>) {
  const [text, setText] = useState(filter[word] ?? '')
  const tell = useDebouncedCallback((value: string) => onChange({ [word]: value.trim() }), { delay: 350, flushOnUnmount: false })
  useEffect(() => setText((typed) => (typed.trim() === (filter[word] ?? '') ? typed : (filter[word] ?? ''))), [filter, word])
  return (
    <TextInput
      w={190} {...rest} value={text}
      onChange={(e) => {
        setText(e.currentTarget.value)
        tell(e.currentTarget.value)
      }}
    />
  )
}

/** FilterChoice is a word of a filter that is chosen. */
export function FilterChoice({ word, filter, onChange, ...rest }: FilterProps & Omit<SelectProps, 'onChange' | 'value' | 'filter'>) {
  return <Select w={190} clearable {...rest} value={filter[word] ?? null} onChange={(value) => onChange({ [word]: value ?? '' })} />
}

/** FilterApp chooses one of the member's apps. */
export function FilterApp({ filter, onChange, ...rest }: Omit<FilterProps, 'word'> & Omit<SelectProps, 'onChange' | 'value' | 'filter' | 'data'>) {
  const apps = useApps()
  const data = apps.data?.map((a) => ({ value: a.name, label: a.title ? `${a.title} (${a.name})` : a.name })) ?? []
  return <FilterChoice word="app" label="App" placeholder="All apps" searchable={data.length > 8} {...rest} data={data} filter={filter} onChange={onChange} />
}
