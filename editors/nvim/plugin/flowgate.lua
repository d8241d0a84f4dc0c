-- Loaded by Neovim at its start. `vim.g.flowgate_enable = false` before that leaves the server off.
if vim.g.loaded_flowgate then
  return
end
vim.g.loaded_flowgate = true

local function command(name, description)
  return function(call)
    vim.api.nvim_create_user_command(name, function()
      require('flowgate')[call]()
    end, { desc = description })
  end
end
command('FlowgateRestart', 'Restart the flowgate language server')('restart')
command('FlowgateFixAll', 'Apply every safe fix of flowgate in this buffer')('fix_all')

if vim.g.flowgate_enable ~= false then
  require('flowgate').enable()
end
