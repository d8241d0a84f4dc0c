-- Which files start the server: by name, by place, by text.
local session = dofile(os.getenv('FLOWGATE_SCRIPTS') .. '/session.lua')
session.run(function()
  for _, name in ipairs({ 'other.yaml', 'lonely/tool.py' }) do
    vim.cmd('edit ' .. name)
    session.saw(name, #require('flowgate').clients(vim.api.nvim_get_current_buf()))
  end
  for _, name in ipairs({ 'nightly.yml', 'connection.yaml', 'ask.prompty', 'flow/ask.jinja2' }) do
    vim.cmd('edit ' .. name)
    session.saw(name, session.findings(vim.api.nvim_get_current_buf(), 1))
  end
end)
